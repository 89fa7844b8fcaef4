"""Reading posted specs: recipes, grids, the examples, and mistakes in unusual places."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.intake.builders import evaluated, places_posted, table

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_a_resolved_spec_is_read_again_without_change(store: Store, done: str) -> None:
    spec = intake.read_spec(evaluated(experiment=done, arm="seal"), store)
    assert intake.read_spec(json.loads(spec.model_dump_json()), store) == spec


def test_the_own_recipe_of_an_arm_extends_the_experiments(store: Store) -> None:
    arms = [small()["arms"][0] | {"train": {"epochs": 25, "recipe": "official-code"}}, small()["arms"][1]]
    spec = intake.read_spec(small(arms=arms, train={"generations": 2, "epochs": 30, "batch_size": 7}), store)
    own = spec.train_of(spec.arms[0])
    assert (own.epochs, own.generations, own.batch_size, own.lr) == (25, 2, 7, 0.1)  # the released code's learning rate
    assert spec.train_of(spec.arms[1]).epochs == 30


def test_a_problem_in_a_grid_is_reported_at_the_arm_as_written(store: Store) -> None:
    arms = [small()["arms"][0], {"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [-1, -2]}}]
    found = places_posted(small(arms=arms), store)
    assert found == [("/arms/1/method/ascent_scale", "OUT_OF_RANGE")] * 2  # each with the value that it got


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: str(path.stem))
def test_every_example_is_a_spec_that_can_be_posted(store: Store, path: Path) -> None:
    assert planning.plan(intake.read_spec(json.loads(path.read_text()), store)).nodes


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": [table(published=[[[1.0]]])]},
        {"tables": [table(published=[[[]]])]},
        {"tables": [table(published=[[10**400]])]},
        {"arms": [{"name": "a", "checkpoint": "x"}]},
        {"arms": [{"name": "a", "checkpoint": {"uri": "a\u0000b"}}]},
        {"arms": [{"name": "a", "checkpoint": {"uri": "/dev/zero"}}]},
        {"arms": [{"name": "a", "method": {"name": "llf"}, "fork": {"uri": "/tmp/x"}}]},
        {"tables": [table()], "evaluations": [{"evaluator": "accuracy"}]},
        {"tables": [table()], "evaluations": [{"evaluator": {"name": []}}]},
        {"train": "x", "search": {"arm": "seal", "space": {"ascent_scale": {"choice": [1]}}, "trials": 1}},
        {
            "arms": [{"name": "seal", "method": {"name": "seal"}, "fork": "x"}],
            "search": {
                "arm": "seal",
                "space": {"ascent_scale": {"choice": [1]}},
                "trials": 1,
                "objective": {"evaluator": "accuracy", "metric": "top1"},
            },
        },
        {"arms": [{"name": "seal", "method": {"name": []}}], "search": {"arm": "seal", "space": {}, "trials": 1}},
        {
            "data": {"name": "digits", "holdout": 10**400},
            "search": {"arm": "seal", "space": {"ascent_scale": {"choice": [1]}}, "trials": 1},
        },
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_a_mistake_in_an_unusual_place_is_a_problem_and_no_crash(store: Store, changes: dict[str, Any]) -> None:
    assert places_posted(small(**changes), store)
