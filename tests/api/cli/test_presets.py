"""`relearn presets`."""

import json

import pytest

from api.cli.__main__ import main


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert "paper/table-2@1" in capsys.readouterr().out
    assert main(["presets", "--json"]) == 0
    assert {item["name"] for item in json.loads(capsys.readouterr().out)} >= {"paper/all", "digits/figure-3"}


def test_the_command_prints_a_spec_to_edit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "paper/table-11"]) == 0
    spec = json.loads(capsys.readouterr().out)
    assert (spec["name"], spec["arms"][1]) == (
        "paper-table-11",
        {"name": "seal-e60", "method": spec["arms"][0]["method"], "train": {"epochs": 60}},
    )


def test_the_command_names_the_nearest_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "digits/tabel-2"]) == 2
    assert "did you mean 'digits/table-2'?" in capsys.readouterr().err
