"""`relearn methods`, `evaluators` and `check-method`, which need no server."""

import json
from pathlib import Path

import pytest

import evaluators
from api.cli.__main__ import main
from trainer.methods import METHODS

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.mark.parametrize(
    ("command", "known"),
    [("methods", list(METHODS)), ("evaluators", evaluators.names())],
    ids=["methods", "evaluators"],
)
def test_what_a_spec_may_name_is_listed_without_a_server(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    dead_url: str,
    command: str,
    known: list[str],
) -> None:
    monkeypatch.setenv("RELEARN_URL", dead_url)
    assert main([command]) == 0
    printed = capsys.readouterr().out
    assert [word for word in (*known, "usable", "yes") if word not in printed] == []
    assert main([command, "--json"]) == 0
    items = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in items] == known
    assert all(item["schema"]["type"] == "object" for item in items)


def test_a_built_in_method_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", "normal"]) == 0
    printed = capsys.readouterr().out
    assert "ordinary training bit for bit where it says so: generation 0" in printed
    assert "normal: all 9 passed after" in printed
    assert not Path(".relearn").exists()


def test_an_unknown_method_cannot_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", "sael"]) == 2
    assert "no installed package offers a method 'sael'; known are normal, llf, seal" in capsys.readouterr().err
