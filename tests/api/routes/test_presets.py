"""GET /presets, and specs that name a preset."""

from pathlib import Path

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
    assert first.name == "digits-table-2"
    assert first.spec == second.spec
    assert is_problem(unprepared, 422, "INVALID_SPEC")
    assert "relearn data prepare tiny-imagenet" in unprepared.json()["errors"][0]["message"]
