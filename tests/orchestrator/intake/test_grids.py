"""Grids are expanded into arms, and their problems are reported at the place as written."""

from typing import Any

from orchestrator.intake import grids
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem
from orchestrator.spec import MAX_ARMS

SEAL: dict[str, Any] = {"name": "seal", "method": {"name": "seal"}}


def names(raw: dict[str, Any]) -> list[str]:
    expanded, _, problems = grids.expand(raw, SourceMap())
    assert not problems
    return [arm["name"] for arm in expanded["arms"]]


def wrong(grid: object) -> list[Problem]:
    return grids.expand({"arms": [SEAL | {"grid": grid}]}, SourceMap())[2]


def test_a_field_of_the_method_is_an_arm_per_value() -> None:
    raw = {"arms": [{"name": "normal", "method": {"name": "normal"}}, SEAL | {"grid": {"ascent_scale": [0.001, 0.01]}}]}
    expanded, source, problems = grids.expand(raw, SourceMap())
    assert problems == []
    assert [source.written(f"/arms/{index}") for index in range(3)] == ["/arms/0", "/arms/1", "/arms/1"]
    assert expanded["arms"] == [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "seal-ascent_scale-0.001", "method": {"name": "seal", "ascent_scale": 0.001}},
        {"name": "seal-ascent_scale-0.01", "method": {"name": "seal", "ascent_scale": 0.01}},
    ]


def test_several_fields_give_every_combination_and_the_last_varies_fastest() -> None:
    grid = {"ascent_scale": [1, 2], "variant": ["descent", "freeze"]}
    assert names({"arms": [SEAL | {"grid": grid}]}) == [
        "seal-ascent_scale-1-variant-descent",
        "seal-ascent_scale-1-variant-freeze",
        "seal-ascent_scale-2-variant-descent",
        "seal-ascent_scale-2-variant-freeze",
    ]


def test_a_grid_over_settings_network_and_data_extends_the_arms_own() -> None:
    grid = {"train.epochs": [4], "train.schedule.warmup_epochs": [1], "model.width": [8], "data.label_noise": [0.2]}
    raw = {
        "data": {"name": "digits-noisy", "train_per_class": 9},
        "model": {"name": "resnet-digits", "width": 4},
        "train": {"epochs": 9, "lr": 0.5},
        "arms": [SEAL | {"grid": grid}],
    }
    (arm,) = grids.expand(raw, SourceMap())[0]["arms"]
    assert arm["train"] == {"epochs": 4, "schedule": {"warmup_epochs": 1}}  # the experiment's values are not repeated
    assert arm["model"] == {"name": "resnet-digits", "width": 8}
    assert arm["data"] == {"name": "digits-noisy", "train_per_class": 9, "label_noise": 0.2}
    assert arm["name"] == "seal-epochs-4-warmup_epochs-1-width-8-label_noise-0.2"


def test_a_spec_without_grids_is_not_changed() -> None:
    raw = {"arms": [SEAL]}
    for left in (raw, {"arms": "seal"}, {}):
        assert grids.expand(left, SourceMap()) == (left, SourceMap(), [])


def test_a_mistake_in_a_grid_is_reported_at_its_place() -> None:
    assert [(each.pointer, each.code) for each in wrong([1, 2])] == [("/arms/0/grid", "WRONG_TYPE")]
    assert [(each.pointer, each.code) for each in wrong({})] == [("/arms/0/grid", "WRONG_TYPE")]
    assert [(each.pointer, each.code) for each in wrong({"k": 3})] == [("/arms/0/grid/k", "WRONG_TYPE")]
    assert [(each.pointer, each.code) for each in wrong({"k": []})] == [("/arms/0/grid/k", "WRONG_TYPE")]
    assert [(each.pointer, each.code) for each in wrong({"k": [1, 1]})] == [("/arms/0/grid/k", "DUPLICATE")]
    assert wrong({"k": [2, 1, 1]})[0].message == "the value 1 is listed more than once: list each value once"
    assert [(each.pointer, each.code) for each in wrong({"trian.epochs": [1]})] == [
        ("/arms/0/grid/trian.epochs", "UNKNOWN_FIELD")
    ]


def test_a_grid_of_too_many_arms_is_refused_without_expanding_it() -> None:
    _, _, problems = grids.expand(
        {"arms": [SEAL | {"grid": {name: list(range(1000)) for name in "abcdef"}}]}, SourceMap()
    )
    assert [(each.pointer, each.code) for each in problems] == [("/arms", "OUT_OF_RANGE")]
    assert str(MAX_ARMS) in problems[0].message


def test_problems_of_expanded_arms_are_reported_at_the_arm_as_written() -> None:
    arms = [{"name": "normal", "method": {"name": "normal"}}, SEAL | {"grid": {"ascent_scale": [1, 2]}}, SEAL]
    _, source, _ = grids.expand({"arms": arms}, SourceMap())
    problem = Problem("/arms/2/method/ascent_scale", "OUT_OF_RANGE", "should be greater than 0")
    (reported,) = source.reported([problem])
    assert reported == Problem("/arms/1/method/ascent_scale", "OUT_OF_RANGE", "should be greater than 0")
    assert source.written("/arms/3/name") == "/arms/2/name"
    assert source.written("/arms/12") == "/arms/12"
    assert source.written("/train/lr") == "/train/lr"
