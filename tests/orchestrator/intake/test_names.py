"""Names of arms that a grid or a search makes: as long as they may be, all different, and resolved where they are
named."""

import itertools
import re
from typing import Any

import pytest

from orchestrator.intake import grids, names, read_spec
from orchestrator.intake.source_map import SourceMap
from orchestrator.plan import plan
from orchestrator.spec import MAX_NAME, ExperimentSpec
from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.intake.builders import places_posted

LONG: dict[str, list[Any]] = {
    "ascent_epochs": [1, 2],
    "ascent_scale": [0.001, 0.01],
    "ascent_weight_decay": ["flip", "zero"],
    "train.schedule.warmup_epochs": [0, 1],
}
SEAL = {"name": "seal", "method": {"name": "seal"}}


def read(raw: dict[str, Any]) -> ExperimentSpec:
    return read_spec(raw, Store("sqlite://"))


def combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def valid(found: list[str]) -> bool:
    return len(set(found)) == len(found) and all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) for name in found)


def test_a_name_that_fits_is_written_out() -> None:
    (found,) = names.of_combinations("s" * 43, [{"ascent_scale": "0.0001"}])
    assert found == f"{'s' * 43}-ascent_scale-0.0001"
    assert len(found) == 63


def test_a_longer_one_has_shorter_words() -> None:
    found = names.of_combinations("seal", combinations(LONG))
    assert valid(found)
    assert found[0] == "seal-asc_epo-1-asc_sca-0.001-asc_wei_dec-flip-war_epo-0"


def test_one_that_is_still_too_long_ends_in_a_digest() -> None:
    more = LONG | {"variant": ["descent", "freeze"], "train.momentum": [0.9, 0.95], "train.label_smoothing": [0, 0.1]}
    found = names.of_combinations("seal", combinations(more))
    assert valid(found)
    assert found[0].startswith("seal-asc_epo-1-asc_sca-0.001-asc_wei_dec-flip-war_epo-0-")
    assert found == names.of_combinations("seal", combinations(more))
    alone = names.of_combinations("seal", combinations(more)[-1:])
    assert alone == found[-1:]


@pytest.mark.parametrize("values", [[-1, 1], ["A b", "a-b"], [[1, 2], "1-2"], ["", None, "null"], [True, "true"]])
def test_values_that_are_written_alike_give_different_names(values: list[Any]) -> None:
    found = names.of_combinations("arm", [{"x": value} for value in values])
    assert valid(found)


def test_names_of_every_length_are_valid_and_different() -> None:
    for length in range(1, MAX_NAME + 1):
        base = "n" * length
        assert valid(names.of_combinations(base, combinations({"layer_threshold": ["layer2", "layer3.0.conv1", 23]})))
        trials = [names.of_trial(base, number, 3) for number in (0, 9, 10, 999)]
        assert valid(trials)
        assert all(trial.endswith(suffix) for trial, suffix in zip(trials, ("-t000", "-t009", "-t010"), strict=False))
    assert names.of_trial("seal", 3, 2) == "seal-t03"


def test_arms_whose_beginnings_agree_have_trials_of_different_names() -> None:
    assert names.of_trial("a" * 63 + "b", 0, 2) != names.of_trial("a" * 63 + "c", 0, 2)


def test_a_base_that_is_too_long_itself_is_not_shortened() -> None:
    assert names.of_combinations("n" * 65, [{"k": 1}]) == ["n" * 65 + "-k-1"]
    spec = small(arms=[SEAL | {"name": "n" * 65, "grid": {"ascent_scale": [1.0]}}], evaluations=[])
    assert places_posted(spec, Store("sqlite://")) == [("/arms/0/name", "OUT_OF_RANGE")]


def posted(**fields: Any) -> dict[str, Any]:
    return small(arms=[SEAL | {"grid": LONG}], train={"generations": 3, "epochs": 8}, evaluations=[]) | fields


def test_a_grid_with_long_names_is_accepted_and_planned() -> None:
    spec = read(posted())
    found = [arm.name for arm in spec.arms]
    assert valid(found)
    assert len(found) == 16
    assert {node.arm for node in plan(spec).nodes.values()} <= set(found)


@pytest.mark.parametrize("long", [True, False])
def test_an_arm_is_found_by_its_long_and_by_its_short_name(long: bool) -> None:
    grid = LONG | {"variant": ["descent", "freeze"]}
    values = combinations(grid)[0]
    short = names.of_combinations("seal", combinations(grid))[0]
    name = names.written_out("seal", values) if long else short
    fork = {"name": "on", "method": {"name": "llf"}, "fork": {"arm": name, "generation": 1}}
    fork |= {"train": {"schedule": {"warmup_epochs": 0}}}
    cell = {"evaluator": "accuracy", "metric": "top1"}
    spec = posted(
        arms=[SEAL | {"grid": grid}, fork],
        evaluations=[{"evaluator": {"name": "accuracy"}, "arms": [name]}],
        tables=[
            {"name": "t", "caption": "T.", "rows": [{"label": "r", "arm": name}], "columns": [{"label": "c"} | cell]}
        ],
    )
    found = read(spec)
    assert found.arms[-1].fork is not None
    assert found.arms[-1].fork.arm == short
    assert found.evaluations[0].arms == (short,)


def test_a_problem_of_a_long_arm_is_reported_at_its_grid() -> None:
    spec = posted(arms=[SEAL | {"grid": LONG | {"ascent_epochs": [1, 99]}}])
    expanded, source, _ = grids.expand(spec, SourceMap())
    assert all(len(arm["name"]) <= MAX_NAME for arm in expanded["arms"])
    assert source.written("/arms/15/method/ascent_epochs") == "/arms/0/method/ascent_epochs"
