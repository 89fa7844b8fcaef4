"""GET /experiments/{id}/report and GET /report."""

import csv
import io

import pytest

from api.settings import ApiSettings
from tests.api.builders import SCORES, TestClient, database, is_problem
from tests.orchestrator.report.builders import scored


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
def test_each_format_has_its_media_type(client: TestClient, experiment: str, name: str, kind: str, begins: str) -> None:
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
        other = scored(store, SCORES, name="other", data={"name": "digits-noisy", "train_per_class": 5})
    answer = client.get("/report", params={"experiment": [experiment, other, experiment], "format": "csv"})
    rows = [line["row"] for line in csv.DictReader(io.StringIO(answer.text))]
    assert rows == ["small/normal", "small/seal", "other/normal", "other/seal"]
    assert answer.headers["content-disposition"] == 'attachment; filename="report.csv"'


def test_what_is_not_there_and_what_is_no_format_is_refused(client: TestClient, experiment: str) -> None:
    assert is_problem(client.get("/experiments/exp_0/report"), 404, "NOT_FOUND")
    assert is_problem(client.get("/report", params={"experiment": [experiment, "exp_0"]}), 404, "NOT_FOUND")
    assert is_problem(client.get(f"/experiments/{experiment}/report?format=pdf"), 422, "INVALID_PARAMETER")
    assert is_problem(client.get("/report"), 422, "INVALID_PARAMETER")
