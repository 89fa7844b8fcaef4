"""The values that a search draws: their ranges, distributions and reproducibility, and their expansion into arms."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.intake import search as searching
from orchestrator.intake.search import draw
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem
from orchestrator.spec.search import Distribution

MANY = 2000
LOG = Distribution(log_uniform=(0.001, 10.0))


def drawn(distribution: Distribution, seed: int = 0, field: str = "f") -> list[Any]:
    return [draw(distribution, seed, trial, field) for trial in range(MANY)]


@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-6, 1e6),
    seed=st.integers(0, 2**31),
    trial=st.integers(0, 999),
)
def test_numbers_are_in_their_interval(low: float, width: float, seed: int, trial: int) -> None:
    high = low + width
    if low < high:
        assert low <= draw(Distribution(uniform=(low, high)), seed, trial, "f") <= high
    if 0 < low < high:
        assert low <= draw(Distribution(log_uniform=(low, high)), seed, trial, "f") <= high


def test_uniform_values_are_uniform() -> None:
    assert stats.kstest(drawn(Distribution(uniform=(-1.0, 3.0))), stats.uniform(-1, 4).cdf).pvalue > 0.01


def test_the_logarithms_of_log_uniform_values_are_uniform() -> None:
    logarithms = [math.log10(value) for value in drawn(LOG)]
    assert stats.kstest(logarithms, stats.uniform(-3, 4).cdf).pvalue > 0.01


def test_integers_are_uniform_and_include_both_ends() -> None:
    values = drawn(Distribution(int=(3, 7)))
    assert {type(value) for value in values} == {int}
    assert sorted(set(values)) == [3, 4, 5, 6, 7]
    assert stats.chisquare([values.count(value) for value in range(3, 8)]).pvalue > 0.01


def test_choices_are_uniform() -> None:
    values = drawn(Distribution(choice=("a", None, 0.5, True)))
    counts = [values.count(value) for value in ("a", None, 0.5, True)]
    assert sum(counts) == MANY
    assert stats.chisquare(counts).pvalue > 0.01


def test_a_value_depends_on_seed_trial_and_field_and_on_nothing_else() -> None:
    assert drawn(LOG) == drawn(LOG)
    assert len({draw(LOG, seed, trial, field) for seed in (0, 1) for trial in (0, 1) for field in ("a", "b")}) == 8
    both = stats.pearsonr(
        [math.log(value) for value in drawn(LOG, field="a")], [math.log(value) for value in drawn(LOG, field="b")]
    )
    assert both.pvalue > 0.01


def test_numbers_have_six_significant_digits() -> None:
    assert all(value == float(f"{value:.6g}") for value in drawn(LOG)[:50])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"uniform": [0.0, 1.0], "int": [0, 1]},
        {"uniform": [1.0, 0.0]},
        {"uniform": [0.5, 0.5]},
        {"uniform": [0.5]},
        {"log_uniform": [0.0, 1.0]},
        {"int": [3, 3]},
        {"int": [0.5, 3]},
        {"int": [0, 10**30]},
        {"uniform": [0.0, float("inf")]},
        {"uniform": [float("nan"), 1.0]},
        {"choice": []},
        {"normal": [0, 1]},
    ],
)
def test_invalid_distributions_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Distribution.model_validate(wrong)


SPACE = {"ascent_scale": {"log_uniform": [0.001, 0.1]}, "ascent_epochs": {"int": [1, 3]}}


def raw(**changes: Any) -> dict[str, Any]:
    search = {
        "arm": "seal",
        "space": SPACE,
        "trials": 3,
        "objective": {"evaluator": "accuracy", "metric": "top1"},
    } | changes
    arms = [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "seal", "method": {"name": "seal", "variant": "freeze"}, "data": {"name": "digits"}},
        {"name": "llf", "method": {"name": "llf"}},
    ]
    evaluations = [{"evaluator": {"name": "prediction-depth"}, "arms": ["seal", "llf"]}]
    return {"data": {"name": "digits-noisy"}, "arms": arms, "evaluations": evaluations, "search": search}


def expand(given: dict[str, Any], *refused: str) -> tuple[dict[str, Any], SourceMap, list[Problem]]:
    return searching.expand(given, SourceMap(), refused)


def test_trials_replace_the_arm_of_the_search() -> None:
    expanded, source, problems = expand(raw())
    assert problems == []
    assert [arm["name"] for arm in expanded["arms"]] == ["normal", "seal-t00", "seal-t01", "seal-t02", "llf"]
    scales = [draw(Distribution(log_uniform=(0.001, 0.1)), 0, trial, "ascent_scale") for trial in range(3)]
    epochs = [draw(Distribution(int=(1, 3)), 0, trial, "ascent_epochs") for trial in range(3)]
    assert [arm["method"] for arm in expanded["arms"][1:4]] == [
        {"name": "seal", "variant": "freeze", "ascent_scale": scale, "ascent_epochs": k}
        for scale, k in zip(scales, epochs, strict=True)
    ]
    assert all(arm["data"] == {"name": "digits", "holdout": 0.2} for arm in expanded["arms"][1:4])
    assert "data" not in expanded["arms"][0]
    names = ["seal-t00", "seal-t01", "seal-t02"]
    assert expanded["evaluations"] == [
        {"evaluator": {"name": "prediction-depth"}, "arms": [*names, "llf"]},
        {"evaluator": {"name": "accuracy"}, "on": ["every"], "arms": names},
    ]
    assert (expanded["search"]["arms"], expanded["search"]["holdout"], expanded["search"]["keep"]) == (names, 0.2, 3)
    assert [source.written(f"/arms/{index}/name") for index in range(5)] == [
        f"/arms/{index}/name" for index in (0, 1, 1, 1, 2)
    ]
    assert [source.written(f"/arms/3/method/{field}") for field in SPACE] == [
        f"/search/space/{field}" for field in SPACE
    ]
    assert source.written("/evaluations/1/evaluator") == "/search/objective/evaluator"


def test_the_experiments_data_is_held_out_if_the_arm_has_no_own_data() -> None:
    given = raw(holdout=0.5)
    del given["arms"][1]["data"]
    expanded, _, _ = expand(given)
    assert expanded["arms"][1]["data"] == {"name": "digits-noisy", "holdout": 0.5}
    assert expanded["data"] == {"name": "digits-noisy"}


def test_a_test_objective_does_not_change_the_data() -> None:
    expanded, _, problems = expand(raw(objective={"evaluator": "accuracy", "metric": "top1", "on": "test"}))
    assert problems == []
    assert expanded["arms"][1]["data"] == {"name": "digits"}
    assert expanded["search"]["holdout"] == 0


def test_more_trials_or_fields_do_not_change_the_other_values() -> None:
    def methods(**changes: Any) -> list[dict[str, Any]]:
        return [arm["method"] for arm in expand(raw(**changes))[0]["arms"][1:-1]]

    assert methods(trials=150)[:3] == methods()
    wider = methods(space=SPACE | {"ascent_weight_decay": {"choice": ["flip", "zero"]}})
    assert [
        {name: value for name, value in method.items() if name != "ascent_weight_decay"} for method in wider
    ] == methods()
    assert expand(raw(trials=150))[0]["arms"][1]["name"] == "seal-t000"


def test_trials_that_are_written_out_are_not_drawn_again() -> None:
    expanded, _, _ = expand(raw())
    assert expand(expanded) == (expanded, SourceMap(), [])


@pytest.mark.parametrize("search", [None, {}, [], "seal", {"arm": "seal"}, {"arm": 3, "space": SPACE}])
def test_an_invalid_search_is_not_expanded(search: object) -> None:
    given = raw() | {"search": search}
    assert expand(given) == (given, SourceMap(), [])
    assert expand({"search": search}) == ({"search": search}, SourceMap(), [])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"arm": "sael"}, ("/search/arm", "UNKNOWN_VALUE", "seal")),
        (
            {"space": {"ascent_scael": {"uniform": [0.1, 1.0]}}},
            ("/search/space/ascent_scael", "UNKNOWN_FIELD", "ascent_scale"),
        ),
        ({"space": {"name": {"choice": ["llf"]}}}, ("/search/space/name", "UNKNOWN_FIELD", None)),
        ({"space": {"ascent_scale": {"uniform": [0.0, 1.0]}}}, ("/search/space/ascent_scale", "OUT_OF_RANGE", None)),
        ({"space": {"ascent_epochs": {"uniform": [1.0, 2.5]}}}, ("/search/space/ascent_epochs", "OUT_OF_RANGE", None)),
        ({"space": {"variant": {"choice": ["freeze", "thaw"]}}}, ("/search/space/variant", "OUT_OF_RANGE", None)),
    ],
)
def test_every_value_of_the_space_must_be_valid_for_the_method(
    changes: dict[str, Any], place: tuple[str, str, str | None]
) -> None:
    """A space is refused even if no trial draws an invalid value."""
    _, _, problems = expand(raw(**changes))
    assert {(problem.pointer, problem.code, problem.suggestion) for problem in problems} == {place}


def test_no_value_is_tried_with_a_refused_method() -> None:
    given = raw(space={"ascent_scale": {"uniform": [0.0, 1.0]}})
    assert expand(given, "seal")[2] == []
    assert len(expand(given, "llf")[2]) == 1


def test_a_checkpoint_cannot_be_tuned() -> None:
    given = raw()
    given["arms"][1] = {"name": "seal", "checkpoint": {"uri": "/net.pt"}}
    (problem,) = expand(given)[2]
    assert (problem.pointer, problem.code) == ("/search/arm", "CONTRADICTION")


def test_problems_of_trials_are_reported_once_at_the_place_as_written() -> None:
    given = raw(space={"ascent_scale": SPACE["ascent_scale"]})
    given["evaluations"] *= 2
    _, source, _ = expand(given)
    written = {
        "/arms/1/method/ascent_scale": "/search/space/ascent_scale",
        "/arms/3/method/ascent_scale": None,
        "/arms/2/method/layer_threshold": "/arms/1/method/layer_threshold",
        "/arms/4/method/layer_threshold": "/arms/2/method/layer_threshold",
        "/arms/1/data": "/arms/1/data",
        "/arms/2/data": None,
        "/arms/9": "/arms/9",
        "/evaluations/2/evaluator/name": "/search/objective/evaluator/name",
        "/evaluations/0/evaluator/name": "/evaluations/0/evaluator/name",
        "/train/lr": "/train/lr",
    }
    reported = source.reported(Problem(pointer, "X", pointer) for pointer in written)
    assert [(problem.message, problem.pointer) for problem in reported] == [
        (a, b) for a, b in written.items() if b is not None
    ]
