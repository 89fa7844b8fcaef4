"""Pointers into an expanded spec are mapped to the posted spec through every expansion."""

from typing import Any

import pytest

from orchestrator.intake import grids, search
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem

GRID = {
    "name": "seal",
    "method": {"name": "seal"},
    "grid": {"variant": ["descent", "freeze"], "ascent_weight_decay": ["flip", "zero"]},
}
SEARCH = {
    "arm": "seal-variant-freeze-ascent_weight_decay-flip",
    "space": {"ascent_scale": {"log_uniform": [0.001, 0.1]}},
    "trials": 3,
    "objective": {"evaluator": "accuracy", "metric": "top1"},
}


def expanded(**changes: Any) -> tuple[dict[str, Any], SourceMap]:
    """Returns an expanded spec: an ordinary arm, a grid of four, the third of which is searched, and another arm."""
    normal, llf = ({"name": name, "method": {"name": name}} for name in ("normal", "llf"))
    raw: dict[str, Any] = {
        "data": {"name": "digits"},
        "arms": [normal, GRID, llf],
        "evaluations": [{"evaluator": {"name": "prediction-depth"}}],
        "search": SEARCH,
    }
    raw, source, wrong = grids.expand(raw | changes, SourceMap())
    raw, source, undrawn = search.expand(raw, source)
    assert [*wrong, *undrawn] == []
    return raw, source


def test_an_empty_map_changes_no_pointer() -> None:
    for pointer in ("", "/arms/3/method/name", "/a~1b"):
        assert SourceMap().written(pointer) == pointer


def test_the_innermost_moved_part_determines_the_pointer() -> None:
    source = SourceMap().then({"/a": "/b", "/a/x": "/c"})
    assert source.written("/a") == "/b"
    assert source.written("/a/y/z") == "/b/y/z"
    assert source.written("/a/x/y") == "/c/y"
    assert source.written("/ab") == "/ab"  # not below /a
    assert source.written("/b") == "/b"


def test_a_later_expansion_is_undone_first() -> None:
    source = SourceMap().then({"/arms/2": "/arms/0"}).then({"/arms/5": "/arms/2", "/arms/2": "/arms/1"})
    assert source.written("/arms/5/name") == "/arms/0/name"
    assert source.written("/arms/2/name") == "/arms/1/name"


def test_trials_of_a_grids_arm_are_mapped_to_the_arm_with_the_grid() -> None:
    raw, source = expanded()
    names = [arm["name"] for arm in raw["arms"]]
    assert [name.endswith(("-t00", "-t01", "-t02")) for name in names] == [False] * 3 + [True] * 3 + [False] * 2
    assert [source.written(f"/arms/{index}/name") for index in range(8)] == [
        "/arms/0/name",
        *["/arms/1/name"] * 6,
        "/arms/2/name",
    ]


def test_a_drawn_setting_is_mapped_to_the_space_and_a_grids_to_the_arm() -> None:
    _, source = expanded()
    assert source.written("/arms/4/method/ascent_scale") == "/search/space/ascent_scale"
    assert source.written("/arms/4/method/variant") == "/arms/1/method/variant"
    assert source.written("/arms/2/method/ascent_scale") == "/arms/1/method/ascent_scale"  # no trial


@pytest.mark.parametrize("before", [0, 1, 3])
def test_the_evaluation_of_the_objective_is_mapped_to_the_objective(before: int) -> None:
    raw, source = expanded(evaluations=[{"evaluator": {"name": "prediction-depth"}}] * before)
    assert len(raw["evaluations"]) == before + 1
    assert source.written(f"/evaluations/{before}/evaluator/seed") == "/search/objective/evaluator/seed"
    if before:
        assert source.written("/evaluations/0/evaluator/seed") == "/evaluations/0/evaluator/seed"


def test_problems_of_copies_are_reported_once_and_those_of_a_grids_arms_each() -> None:
    _, source = expanded()
    wrong = [Problem(f"/arms/{index}/method/layer_threshold", "CONTRADICTION", str(index)) for index in range(8)]
    reported = list(
        source.reported([*wrong, Problem("/arms/4/method/layer_threshold", "OUT_OF_RANGE", "another code")])
    )
    at_grid = "/arms/1/method/layer_threshold"
    assert reported == [
        Problem("/arms/0/method/layer_threshold", "CONTRADICTION", "0"),
        Problem(at_grid, "CONTRADICTION", "1"),
        Problem(at_grid, "CONTRADICTION", "2"),
        Problem(at_grid, "CONTRADICTION", "3"),  # the trials' first; 4 and 5 are its copies
        Problem(at_grid, "CONTRADICTION", "6"),
        Problem("/arms/2/method/layer_threshold", "CONTRADICTION", "7"),
        Problem(at_grid, "OUT_OF_RANGE", "another code"),
    ]


def test_a_part_that_a_later_expansion_moved_is_still_a_copy() -> None:
    source = (
        SourceMap().then({"/a/0": "/w", "/a/1": "/w"}, copies=["/a/0", "/a/1"]).then({"/b/0": "/a/0", "/b/1": "/a/1"})
    )
    problems = [Problem("/b/0/x", "X", "first"), Problem("/b/1/x", "X", "second")]
    assert list(source.reported(problems)) == [Problem("/w/x", "X", "first")]
