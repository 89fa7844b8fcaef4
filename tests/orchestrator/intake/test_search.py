"""Searches in posted specs: their trials, and the rules that prevent a selection on the test images."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.plan.search import Trials
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store
from tests.orchestrator.builders import small
from trainer.core import data

SPACE = {"ascent_scale": {"log_uniform": [0.001, 0.1]}}
OBJECTIVE = {"evaluator": "accuracy", "metric": "top1"}


def searched(search: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Returns a spec with an ordinary arm, and a search with four trials of three generations on 40 images."""
    usual = {"arm": "seal", "space": SPACE, "trials": 4, "objective": OBJECTIVE, "keep": 1}
    train = {"generations": 3, "epochs": 3, "batch_size": 16}
    return small(train=train, search=usual | (search or {})) | changes


def read(raw: dict[str, Any], store: Store) -> ExperimentSpec:
    return intake.read_spec(raw, store)


def problems(raw: dict[str, Any], store: Store) -> list[Problem]:
    with pytest.raises(InvalidSpec) as error:
        intake.read_spec(raw, store)
    return error.value.problems


def test_trials_are_planned_like_other_arms_and_share_equal_nodes(store: Store) -> None:
    spec = read(searched({"trials": 6}, seeds=[0, 1]), store)
    plan = planning.plan(spec)
    trials, own = Trials(spec), Trials(spec).own(plan)
    # for each seed: the ordinary arm's three generations, the trials' common first one, and two more of each trial
    assert plan.counts("generation") == {"requested": 2 * 3 * 7, "unique": 2 * (3 + 1 + 6 * 2)}
    assert len(own) == 2 * 6 * 2
    assert {plan.nodes[key].generation for key in own} == {1, 2}
    assert trials.distinct == list(spec.search.arms if spec.search else ())
    # accuracy of the ordinary arm's last generation, and of every generation of the trials
    assert plan.counts("evaluation")["unique"] == 2 * (1 + 1 + 6 * 2)


def test_trials_with_equal_values_are_trained_once(store: Store) -> None:
    spec = read(searched({"trials": 9, "space": {"variant": {"choice": ["descent", "freeze"]}}}), store)
    trials = Trials(spec)
    assert trials.distinct == list(dict.fromkeys(trials.same.values()))
    assert len(trials.distinct) == 2
    variants = {name: spec.arm(name).method for name in trials.same}
    assert all(variants[name] == variants[first] for name, first in trials.same.items())
    assert planning.plan(spec).counts("generation")["unique"] == 3 + 1 + 2 * 2


def test_the_same_arms_written_by_hand_have_the_same_keys(store: Store) -> None:
    spec = read(searched(), store)
    by_hand = small(train=searched()["train"], evaluations=[])
    by_hand["arms"] = [json.loads(arm.model_dump_json()) for arm in spec.arms[1:]]
    assert planning.plan(intake.read_spec(by_hand, store)).nodes.keys() < planning.plan(spec).nodes.keys()


def test_a_resolved_search_is_read_again_without_change(store: Store) -> None:
    for search in ({}, {"trials": 1, "keep": 1}, {"objective": OBJECTIVE | {"on": "test"}}, {"early_stop": None}):
        spec = read(searched(search), store)
        assert read(json.loads(spec.model_dump_json()), store) == spec


def test_at_most_all_trials_are_kept_by_default(store: Store) -> None:
    raw = searched({"trials": 2})
    del raw["search"]["keep"]
    spec = read(raw, store)
    assert spec.search is not None
    assert spec.search.keep == 2


def test_no_part_of_a_search_reads_a_test_image(store: Store) -> None:
    """Compares the images that trials are trained and evaluated on with the test images, pixel by pixel."""
    probe = {"evaluator": {"name": "linear-probe", "targets": ["digits%0.2"], "epochs": 1}}
    evaluations = [
        {"evaluator": {"name": "prediction-depth"}},
        {"evaluator": {"name": "hessian-spectrum"}, "on": ["every"]},
    ]
    for objective in (OBJECTIVE, probe | {"metric": "acc"}):
        spec = read(searched({"objective": objective}, evaluations=evaluations), store)
        assert spec.search is not None
        plan = planning.plan(spec)
        of_trials = {use.key for use in plan.uses if use.arm in spec.search.arms}
        used = {spec.data_of(spec.arm(name)) for name in spec.search.arms}
        targets = [node.target for key, node in plan.nodes.items() if key in of_trials and node.kind == "evaluation"]
        used |= {TypeAdapter(data.DataSpec).validate_python(target) for target in targets}
        tests = {image.numpy().tobytes() for image in data.named("digits").load().test.images_NCHW}
        assert len(tests) > 800
        for one in used:
            loaded = one.load()
            read_ = {image.numpy().tobytes() for split in (loaded.train, loaded.test) for image in split.images_NCHW}
            assert len(loaded.test) > 0
            assert read_.isdisjoint(tests)


PROBE = {"evaluator": {"name": "linear-probe", "targets": ["digits"]}, "metric": "acc"}


@pytest.mark.parametrize(
    ("search", "pointer"),
    [
        ({"holdout": 0}, "/search/holdout"),
        ({"objective": PROBE}, "/search/objective/evaluator/targets/0"),
        ({"objective": PROBE | {"evaluator": {"name": "few-shot", "targets": ["digits-5-9"], "episodes": 5}}},
         "/search/objective/evaluator/targets/0"),
        ({"holdout": 0.2, "objective": OBJECTIVE | {"on": "test"}}, "/search/holdout"),
    ],
)  # fmt: skip
def test_a_test_objective_is_refused_unless_it_is_requested_by_name(
    search: dict[str, Any], pointer: str, store: Store
) -> None:
    (problem,) = problems(searched(search), store)
    assert (problem.pointer, problem.code) == (pointer, "CONTRADICTION")
    if search.get("objective", {}).get("on") is None:
        assert '"on": "test"' in problem.message


def test_data_that_holds_another_share_out_is_refused(store: Store) -> None:
    (problem,) = problems(searched(data={"name": "digits", "holdout": 0.5}), store)
    assert (problem.pointer, problem.code) == ("/search/holdout", "CONTRADICTION")
    (problem,) = problems(
        searched({"objective": OBJECTIVE | {"on": "test"}}, data={"name": "digits", "holdout": 0.5}), store
    )
    assert (problem.pointer, problem.code) == ("/search/objective/on", "CONTRADICTION")
    for share in (0.2, 0.0):  # a resolved spec contains 0.0 if no share is given
        spec = read(searched(data={"name": "digits", "holdout": share}), store)
        assert spec.search is not None
        assert {spec.data_of(spec.arm(name)).holdout for name in spec.search.arms} == {0.2}


def test_an_objective_that_requests_the_test_images_uses_them(store: Store) -> None:
    spec = read(searched({"objective": OBJECTIVE | {"on": "test"}}), store)
    assert spec.search is not None
    assert {spec.data_of(spec.arm(name)).holdout for name in spec.search.arms} == {0.0}


@pytest.mark.parametrize(
    ("search", "places"),
    [
        ({"space": {}}, [("/search/space", "OUT_OF_RANGE")]),
        ({"space": {"ascent_scale": {"uniform": [1.0, 0.5]}}}, [("/search/space/ascent_scale", "CONTRADICTION")]),
        ({"space": {"ascent_scale": {"uniform": [1.0]}}}, [("/search/space/ascent_scale/uniform", "OUT_OF_RANGE")]),
        ({"space": {"ascent_scale": {"gauss": [1.0, 2.0]}}}, [("/search/space/ascent_scale/gauss", "UNKNOWN_FIELD")]),
        ({"space": {"ascent_epochs": {"int": [4, 90]}}}, [("/search/space/ascent_epochs", "CONTRADICTION")]),
        ({"trials": 0}, [("/search/trials", "OUT_OF_RANGE")]),
        ({"keep": 5}, [("/search/keep", "CONTRADICTION")]),
        ({"early_stop": {"min_generations": 3}}, [("/search/early_stop/min_generations", "CONTRADICTION")]),
        ({"objective": OBJECTIVE | {"metric": "top2"}}, [("/search/objective/metric", "UNKNOWN_VALUE")]),
        ({"objective": OBJECTIVE | {"metric": "loss"}}, [("/search/objective/mode", "CONTRADICTION")]),
        ({"objective": OBJECTIVE | {"evaluator": "acuracy"}}, [("/search/objective/evaluator/name", "UNKNOWN_VALUE")]),
        ({"objective": PROBE | {"evaluator": {"name": "linear-probe", "targets": ["digits%0.2", "digits-0-4%0.2"]}}},
         [("/search/objective/evaluator/targets", "CONTRADICTION")]),
        ({"arms": ["normal"]}, [("/search/trials", "CONTRADICTION"), ("/search/holdout", "CONTRADICTION")]),
        ({"arms": ["a", "b", "c", "d"]}, [(f"/search/arms/{index}", "UNKNOWN_VALUE") for index in range(4)]),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_at_its_place(
    search: dict[str, Any], places: list[tuple[str, str]], store: Store
) -> None:
    assert [(each.pointer, each.code) for each in problems(searched(search), store)] == places


def test_a_trial_that_is_listed_twice_is_named(store: Store) -> None:
    raw = json.loads(read(searched(), store).model_dump_json())
    first = raw["search"]["arms"][0]
    raw["search"]["arms"][1] = first
    assert Problem(
        "/search/arms",
        "CONTRADICTION",
        f"the trial {first!r} is listed more than once: leave search.arms out to draw the trials again",
    ) in problems(raw, store)


def test_a_trial_has_one_worker(store: Store) -> None:
    assert [(each.pointer, each.code) for each in problems(searched(resources={"workers": 2}), store)] == [
        ("/resources/workers", "CONTRADICTION")
    ]


def test_a_loss_is_minimised(store: Store) -> None:
    spec = read(searched({"objective": {"evaluator": "accuracy", "metric": "loss", "mode": "min"}}), store)
    trials = Trials(spec)
    first = trials.distinct[0]
    values = {node.key: 0.25 for node in trials.objectives[first, 0].values()}
    assert trials.scores(values)[first] == {0: -0.25, 1: -0.25, 2: -0.25}


def test_the_example_is_a_search(store: Store) -> None:
    raw = json.loads((Path(__file__).parents[3] / "examples" / "search.json").read_text())
    spec = read(raw, store)
    assert spec.search is not None
    assert (len(spec.search.arms), len(spec.arms), Trials(spec).ladder.rungs) == (9, 10, (1, 3, 6))
