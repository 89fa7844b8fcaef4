"""The command `relearn` as a whole."""

import json
from pathlib import Path

import pytest

from api.cli.__main__ import main
from tests.orchestrator.builders import small

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.mark.parametrize("command", [["submit", "spec.json"], ["list"], ["results", "exp"], ["cancel", "exp"]])
def test_without_a_server_the_message_names_the_remedy(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    dead_url: str,
    command: list[str],
) -> None:
    monkeypatch.setenv("RELEARN_URL", dead_url)
    (tmp_path / "spec.json").write_text(json.dumps(small()))
    assert main(command) == 1
    printed = capsys.readouterr().err
    assert "no relearn server answers" in printed
    assert "start one with `relearn up`, or set RELEARN_URL" in printed


@pytest.mark.parametrize("arguments", [[], ["fly"], ["submit"], ["results", "--every"]])
def test_a_command_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: relearn" in capsys.readouterr().err
