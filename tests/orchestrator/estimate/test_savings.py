"""The reasons why a plan saves work, against sentences and counts by hand."""

from typing import Any

import pytest

from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.estimate.builders import ARMS, answer


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {"arms": [ARMS[0], ARMS[1] | {"fork": {"arm": "normal", "generation": 1}}]},
            ["llf continues normal and shares generations 0-1 with it: 2 generations saved"],
        ),
        (
            {"arms": [{"name": name, "method": {"name": "seal"}} for name in ("a", "b")]},
            ["generations 0-2 are common to a, b: 3 generations saved (their settings are the same)"],
        ),
        (
            {"arms": [{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [1, 2, 3, 4, 5, 6, 7]}}]},
            [
                "generation 0 is common to seal-ascent_scale-1, seal-ascent_scale-2, seal-ascent_scale-3, "
                "seal-ascent_scale-4 and 3 more: 6 generations saved"
            ],
        ),
        ({"arms": ARMS[:1]}, []),
        (
            {"arms": ARMS[:2], "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["first"]}]},
            [
                "generation 0 is common to normal, llf: 1 generation saved",
                "1 evaluation saved, because normal, llf share the evaluated networks",
            ],
        ),
    ],
)
def test_each_reason_is_given_as_a_sentence(store: Store, changes: dict[str, Any], wanted: list[str]) -> None:
    raw = small(train={"generations": 3, "epochs": 3, "batch_size": 16}, evaluations=[]) | changes
    assert [each["why"] for each in answer(store, raw)["sharing"]] == wanted


def test_the_savings_of_the_whole_paper_add_up_to_the_last_epoch(store: Store) -> None:
    found = answer(store, {"preset": "paper/all"})
    assert sum(each["epochs"] for each in found["sharing"]) == 43368 - 26328 == 17040
    assert found["sharing"][0] == {
        "why": "networks of normal, llf, seal, seal-freeze and 16 more after fewer generations are part of their own "
        "longer run: 106 generations saved",
        "epochs": 15556,
        "generations": 106,
        "evaluations": 0,
    }


def test_earlier_networks_of_an_arm_are_part_of_its_run(store: Store) -> None:
    """With two seeds, networks after 1 and 3 generations take 2 x (1 + 3) generations separately and 2 x 3 in a run."""
    evaluations = [{"evaluator": {"name": "accuracy"}, "on": [0, 2]}]
    found = answer(
        store, small(arms=ARMS[:1], seeds=[0, 1], train={"generations": 3, "epochs": 3}, evaluations=evaluations)
    )
    assert found["epochs"]["separate"] - found["epochs"]["shared"] == 6
    assert found["sharing"] == [
        {
            "why": "networks of normal after fewer generations are part of its own longer run: 2 generations saved "
            "with 2 seeds",
            "epochs": 6,
            "generations": 2,
            "evaluations": 0,
        }
    ]


def test_the_largest_saving_comes_first(store: Store) -> None:
    own = {"epochs": 9}
    arms = [*ARMS, *(each | {"name": f"{each['name']}-long", "train": own} for each in ARMS[:2])]
    found = answer(store, small(arms=arms, evaluations=[]))
    assert [each["epochs"] for each in found["sharing"]] == [9, 6]
