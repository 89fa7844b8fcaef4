import json
from pathlib import Path

import pytest

from api.cli.__main__ import main
from tests.api.builders import database, is_problem, serving, settings


def test_presets_are_listed_and_shown(tmp_path: Path) -> None:
    with serving(settings(tmp_path / "home")) as client:
        items = client.get("/presets").json()["items"]
        one = client.get("/presets/digits/table-2").json()
        assert is_problem(client.get("/presets/digits/table-3"), 404, "NOT_FOUND")
    assert len(items) == 28
    assert all(item.keys() == {"name", "version", "about"} for item in items)
    assert {key: one[key] for key in ("name", "version", "about")} in items
    assert (one["spec"]["name"], one["spec"]["preset"]) == ("digits-table-2", "digits/table-2@1")


def test_a_preset_is_posted_by_name_and_as_it_is_shown(tmp_path: Path) -> None:
    configured = settings(tmp_path / "home")
    with serving(configured) as client:
        spec = client.get("/presets/digits/table-2").json()["spec"]
        answers = [client.post("/experiments", json=raw) for raw in ({"preset": "digits/table-2"}, spec)]
        unprepared = client.post("/experiments", json={"preset": "paper/table-2"})
    assert [answer.status_code for answer in answers] == [202, 202]
    with database(configured) as store:
        first, second = (store.experiment(answer.json()["id"]) for answer in answers)
    assert first is not None
    assert second is not None
    assert first["name"] == "digits-table-2"
    assert first["spec"] == second["spec"]
    assert is_problem(unprepared, 422, "INVALID_SPEC")
    assert "relearn data prepare tiny-imagenet" in unprepared.json()["errors"][0]["message"]


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
