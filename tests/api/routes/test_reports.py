import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.cli.__main__ import main
from api.client import Client
from api.settings import ApiSettings
from tests.api.builders import TestClient, database, is_problem, serving, settings
from tests.orchestrator.report.builders import realistic, scored

VALUES = {("normal", 0): 0.5, ("seal", 0): 0.75}


@pytest.fixture
def configured(tmp_path: Path) -> ApiSettings:
    return settings(tmp_path / "home")


@pytest.fixture
def client(configured: ApiSettings) -> Iterator[TestClient]:
    with serving(configured) as client:
        yield client


@pytest.fixture
def experiment(client: TestClient, configured: ApiSettings) -> str:
    with database(configured) as store:
        return scored(store, VALUES)


@pytest.mark.parametrize(
    ("name", "kind", "begins"),
    [
        ("html", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("markdown", "text/markdown; charset=utf-8", "# small"),
        ("latex", "application/x-tex", r"\documentclass{article}"),
        ("csv", "text/csv; charset=utf-8", "table,row,column,"),
        ("json", "application/json", '{\n "title": "small"'),
    ],
)
def test_each_format_says_what_it_is(client: TestClient, experiment: str, name: str, kind: str, begins: str) -> None:
    answer = client.get(f"/experiments/{experiment}/report", params={"format": name})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.text.startswith(begins)
    disposition = answer.headers.get("content-disposition")
    suffix = {"markdown": "md", "latex": "tex", "csv": "csv"}.get(name)
    assert disposition == (suffix and f'attachment; filename="small.{suffix}"')


def test_a_page_may_load_nothing(client: TestClient, experiment: str) -> None:
    answer = client.get(f"/experiments/{experiment}/report")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_several_experiments_are_one_report(client: TestClient, configured: ApiSettings, experiment: str) -> None:
    with database(configured) as store:
        other = scored(store, VALUES, name="other", data={"name": "digits-noisy", "train_per_class": 5})
    answer = client.get("/report", params={"experiment": [experiment, other, experiment], "format": "csv"})
    rows = [line["row"] for line in csv.DictReader(io.StringIO(answer.text))]
    assert rows == ["small/normal", "small/seal", "other/normal", "other/seal"]
    assert answer.headers["content-disposition"] == 'attachment; filename="report.csv"'


def test_what_is_not_there_and_what_is_no_format_is_refused(client: TestClient, experiment: str) -> None:
    assert is_problem(client.get("/experiments/exp_0/report"), 404, "NOT_FOUND")
    assert is_problem(client.get("/report", params={"experiment": [experiment, "exp_0"]}), 404, "NOT_FOUND")
    assert is_problem(client.get(f"/experiments/{experiment}/report?format=pdf"), 422, "INVALID_PARAMETER")
    assert is_problem(client.get("/report"), 422, "INVALID_PARAMETER")


# --- the command ---


@pytest.fixture
def served(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The command line talks to the application of `client`."""
    real = httpx.Client
    monkeypatch.setattr("httpx.Client", lambda **_: real(transport=client._transport, base_url=client.base_url))
    return client


def test_the_command_writes_what_the_file_ends_in(
    served: TestClient, configured: ApiSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with database(configured) as store:
        experiment = realistic(store)
    target = tmp_path / "report.html"
    assert main(["report", experiment, "--out", str(target)]) == 0
    assert target.read_text().count("<img ") == 5
    assert capsys.readouterr().out.startswith(f"{target}: html, ")


def test_the_command_prints_markdown_or_what_is_asked_for(
    served: TestClient, experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", experiment]) == 0
    assert capsys.readouterr().out.startswith("# small\n")
    assert main(["report", experiment, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\documentclass")


def test_the_command_says_what_it_cannot_do(
    served: TestClient, experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", experiment, "--out", str(tmp_path / "report.pdf")]) == 2
    assert ".html, .htm, .md, .tex, .csv, .json" in capsys.readouterr().err
    assert main(["report", "exp_0"]) == 2
    assert "'exp_0' does not exist" in capsys.readouterr().err
    assert main(["report", experiment, "--out", str(tmp_path / "away" / "report.md")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_client_gives_the_text(served: TestClient, experiment: str) -> None:
    assert Client().report([experiment], "markdown").startswith("# small\n")
