"""Rules for forks."""

from typing import Any

import pytest

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.intake.builders import changed, expect_contradiction, places, places_posted, problems


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        ([("/arms/2/fork", {"arm": "seal", "generation": 1})], "/arms/2/fork/arm", "'seal' forks from itself"),
        ([("/arms/2/fork", {"arm": "llf", "generation": 7})], "/arms/2/fork/generation", "nothing is left to train"),
        (
            [
                ("/arms/2/method", {"name": "imp", "rewind_epoch": 2}),
                ("/arms/2/fork", {"arm": "llf", "generation": 1}),
            ],
            "/arms/2/fork",
            "imp with these settings must train generation 0 itself",
        ),
    ],
)
def test_a_fork_that_cannot_be_trained_is_reported_with_a_remedy(
    changes: list[tuple[str, Any]], pointer: str, message: str
) -> None:
    expect_contradiction(changed(*changes), pointer, message)


def test_a_fork_from_an_unknown_arm_is_reported_with_the_nearest_one() -> None:
    (problem,) = problems(changed(("/arms/2/fork", {"arm": "lff", "generation": 1})))
    assert (problem.pointer, problem.code, problem.suggestion) == ("/arms/2/fork/arm", "UNKNOWN_VALUE", "llf")


def test_a_fork_needs_an_arm_with_equal_data_model_and_settings() -> None:
    """Settings are equal if their values are equal, whether they are given or are defaults."""
    fork, short = ("/arms/2/fork", {"arm": "llf", "generation": 1}), {"name": "digits"}
    there = ("/arms/1/data", short | {"holdout": 0.0})
    assert places(changed(fork, there, ("/arms/2/data", short))) == []
    assert places(changed(fork, there, ("/arms/2/data", short | {"holdout": 0.5}))) == [
        ("/arms/2/fork/arm", "CONTRADICTION", None)
    ]
    assert places(changed(fork, there)) == [("/arms/2/fork/arm", "CONTRADICTION", None)]


def test_forks_in_a_circle_are_refused() -> None:
    raw = changed(("/arms/1/fork", {"arm": "seal", "generation": 1}), ("/arms/2/fork", {"arm": "llf", "generation": 1}))
    assert [problem.message for problem in problems(raw)] == [
        "'llf' forks from itself (seal -> llf): fork from another arm",
        "'seal' forks from itself (llf -> seal): fork from another arm",
    ]


def test_generations_before_an_outside_fork_are_refused_and_skipped(store: Store, done: str) -> None:
    """The first arm begins with generation 1 of the earlier experiment."""
    outside = {"name": "b", "method": {"name": "llf"}, "fork": {"experiment": done, "arm": "seal", "generation": 1}}
    inside = {"name": "c", "method": {"name": "llf"}, "fork": {"arm": "b", "generation": 0}}
    train = small()["train"] | {"generations": 4}
    assert places_posted(small(train=train, arms=[outside, inside]), store) == [
        ("/arms/1/fork/generation", "CONTRADICTION")
    ]
    every = [{"evaluator": {"name": "accuracy"}, "on": ["first", "every"]}]
    plan = planning.plan(intake.read_spec(small(train=train, arms=[outside], evaluations=every), store))
    assert [use.generation for use in plan.uses if use.kind == "evaluation"] == [1, 2, 3]
    zero = [{"evaluator": {"name": "accuracy"}, "on": [0]}]
    assert places_posted(small(train=train, arms=[outside], evaluations=zero), store) == [
        ("/evaluations/0/on/0", "CONTRADICTION")
    ]


def test_forks_hundreds_deep_are_planned_in_any_order(store: Store) -> None:
    arms = [{"name": "a0", "method": {"name": "normal"}}]
    arms += [
        {"name": f"a{i}", "method": {"name": "llf"}, "fork": {"arm": f"a{i - 1}", "generation": 0}}
        for i in range(1, 400)
    ]
    spec = intake.read_spec(small(arms=arms[::-1], evaluations=[]), store)
    assert planning.plan(spec).counts("generation") == {"requested": 800, "unique": 3}
