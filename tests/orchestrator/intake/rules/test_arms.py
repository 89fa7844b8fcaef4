"""Rules for arms: data, training settings, methods and checkpoints."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.intake.builders import changed, expect_contradiction, places, places_posted, weights


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        (
            [("/arms/2/method/ascent_epochs", 25)],
            "/arms/2/method/ascent_epochs",
            "25 ascent epochs do not fit into a generation of 24: use at most 24",
        ),
        ([("/arms/1/method/layer_threshold", "layer9")], "/arms/1/method/layer_threshold", "it has conv1, bn1, layer1"),
        ([("/arms/2/method/layer_threshold", "layer9")], "/arms/2/method/layer_threshold", "it has conv1, bn1, layer1"),
        ([("/arms/2/method/layer_threshold", "conv1")], "/arms/2/method/layer_threshold", "nothing would ascend"),
        (
            [("/arms/1/method/layer_threshold", 23)],
            "/arms/1/method/layer_threshold",
            "it has 9 (downsample convs not counted",
        ),
        ([("/train/schedule", {"shape": "step"})], "/train/schedule/milestones", "needs the epochs of its steps"),
        ([("/train/schedule/milestones", [12])], "/train/schedule/milestones", "a cosine schedule has no steps"),
        (
            [("/train/schedule", {"shape": "step", "milestones": [12, 24]})],
            "/train/schedule/milestones",
            "epoch 24 is never reached in the schedule's 24 epochs",
        ),
        (
            [("/train/recipe", "official-code")],
            "/arms/2/method/ascent_epochs",
            "40 ascent epochs do not fit into a generation",
        ),
        ([("/train/schedule/warmup_epochs", 25)], "/train/schedule/warmup_epochs", "25 warm-up epochs do not fit"),
        (
            [("/train/schedule", {"warmup_epochs": 193, "scope": "run"})],
            "/train/schedule/warmup_epochs",
            "193 warm-up epochs do not fit into the schedule's 192: use at most 192",
        ),
    ],
)
def test_settings_of_arms_that_contradict_each_other_are_reported_with_a_remedy(
    changes: list[tuple[str, Any]], pointer: str, message: str
) -> None:
    expect_contradiction(changed(*changes), pointer, message)


def test_the_official_recipe_fits_generations_of_40_epochs_and_not_fewer() -> None:
    official = ("/train/recipe", "official-code")
    assert places(changed(official, ("/train/epochs", 40))) == []
    assert [pointer for pointer, _, _ in places(changed(official, ("/train/epochs", 39)))] == [
        "/arms/2/method/ascent_epochs"
    ]
    assert sorted(pointer for pointer, _, _ in places(changed(official, ("/train/epochs", 19)))) == [
        "/arms/2/method/ascent_epochs",
        "/train/schedule/warmup_epochs",
    ]


def test_an_arm_has_a_method_or_a_checkpoint(store: Store, tmp_path: Path) -> None:
    normal, path = {"method": {"name": "normal"}}, str(weights(tmp_path / "a.pt"))
    assert places_posted(small(arms=[{"name": "a"}]), store) == [("/arms/0/method", "MISSING_FIELD")]
    both = {"name": "a", **normal, "checkpoint": {"uri": path}}
    assert places_posted(small(arms=[both]), store) == [("/arms/0/checkpoint", "CONTRADICTION")]
    neither_kind = {"name": "a", "checkpoint": {"url": path}}
    assert ("/arms/0/checkpoint/url", "UNKNOWN_FIELD") in places_posted(small(arms=[neither_kind]), store)


def test_the_own_settings_of_an_arm_are_checked_at_their_place(store: Store) -> None:
    def arm(**own: Any) -> dict[str, Any]:
        return small(arms=[small()["arms"][0] | own])

    assert places_posted(arm(train={"epochs": 0}), store) == [("/arms/0/train/epochs", "OUT_OF_RANGE")]
    assert places_posted(arm(train={"epoch": 3}), store) == [("/arms/0/train/epoch", "UNKNOWN_FIELD")]
    assert places_posted(arm(train={"schedule": {"warmup_epochs": 9}}), store) == [
        ("/arms/0/train/schedule/warmup_epochs", "CONTRADICTION")
    ]
    assert places_posted(arm(data={"name": "digitz"}), store) == [("/arms/0/data/name", "UNKNOWN_VALUE")]
    assert places_posted(arm(model={"name": "resnet18", "width": 3}), store) == [
        ("/arms/0/model/width", "UNKNOWN_FIELD")
    ]
    assert places_posted(arm() | {"evaluations": [{"evaluator": {"name": "accuracy"}, "arms": ["nomal"]}]}, store) == [
        ("/evaluations/0/arms/0", "UNKNOWN_VALUE")
    ]
