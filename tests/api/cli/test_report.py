"""`relearn report`."""

from pathlib import Path

import pytest

from api.cli.__main__ import main
from api.settings import ApiSettings
from tests.api.builders import TestClient, database
from tests.orchestrator.report.builders import realistic


def test_the_suffix_of_the_file_chooses_the_format(
    connected: TestClient, configured: ApiSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(configured) as store:
        experiment = realistic(store)
    target = tmp_path / "report.html"
    assert main(["report", experiment, "--out", str(target)]) == 0
    assert target.read_text().count("<img ") == 5
    assert capsys.readouterr().out.startswith(f"{target}: html, ")


def test_the_command_prints_markdown_or_the_given_format(
    connected: TestClient, experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", experiment]) == 0
    assert capsys.readouterr().out.startswith("# small\n")
    assert main(["report", experiment, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\documentclass")


def test_the_command_reports_what_it_cannot_do(
    connected: TestClient, experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", experiment, "--out", str(tmp_path / "report.pdf")]) == 2
    assert ".html, .htm, .md, .tex, .csv, .json" in capsys.readouterr().err
    assert main(["report", "exp_0"]) == 2
    assert "'exp_0' does not exist" in capsys.readouterr().err
    assert main(["report", experiment, "--out", str(tmp_path / "away" / "report.md")]) == 2
    assert "cannot be written" in capsys.readouterr().err
