"""References to earlier experiments and to files of weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, node, planned, small
from tests.orchestrator.intake.builders import HASH, evaluated, places_posted, weights
from trainer.core import models


def test_a_committed_generation_keeps_its_node(store: Store, done: str) -> None:
    """Its accuracy has the same key as in the experiment that trained it, so it is not measured again."""
    raw = evaluated(experiment=done, arm="seal") | {"model": {"name": "resnet18"}}
    spec = intake.read_spec(raw, store)
    plan, there = planning.plan(spec), planned(small())
    assert spec.model_of(spec.arms[0]).name == "resnet-digits"
    assert set(plan.nodes) == {node(there, "seal", 1).key, node(there, "seal", 1, "evaluation").key}
    assert node(plan, "there", 1).elsewhere


def test_a_generation_before_the_last_can_be_named(store: Store, done: str) -> None:
    plan = planning.plan(intake.read_spec(evaluated(experiment=done, arm="seal", generation=0), store))
    assert node(plan, "there", 0).key == node(planned(small()), "normal", 0).key


def test_unknown_parts_of_a_reference_are_reported(store: Store, done: str) -> None:
    assert places_posted(evaluated(experiment="exp_none", arm="seal"), store) == [
        ("/arms/0/checkpoint/experiment", "UNKNOWN_VALUE")
    ]
    assert places_posted(evaluated(experiment=done, arm="sael"), store) == [("/arms/0/checkpoint/arm", "UNKNOWN_VALUE")]
    assert places_posted(evaluated(experiment=done, arm="seal", generation=2), store) == [
        ("/arms/0/checkpoint", "UNKNOWN_VALUE")
    ]
    assert places_posted(evaluated(experiment=done, arm="seal") | {"seeds": [7]}, store) == [
        ("/arms/0/checkpoint", "UNKNOWN_VALUE")
    ]
    assert places_posted(evaluated(experiment=done, arm="seal") | {"seeds": [0, 1]}, store) == [
        ("/arms/0/checkpoint", "CONTRADICTION")
    ]


def test_a_fork_continues_from_an_earlier_experiment(store: Store, done: str) -> None:
    """LLF continues from the last of SEAL's two generations, with the same keys as for a fork within one spec."""
    fork = {"experiment": done, "arm": "seal", "generation": 1}
    train = small()["train"] | {"generations": 5}
    llf = {"name": "llf", "method": {"name": "llf"}}
    outside = planning.plan(intake.read_spec(small(train=train, arms=[llf | {"fork": fork}], evaluations=[]), store))
    inside = planned(
        small(train=train, arms=[*small()["arms"], llf | {"fork": {"arm": "seal", "generation": 1}}], evaluations=[])
    )
    assert [each.generation for each in outside.nodes.values()] == [1, 2, 3, 4]
    assert [key for key, each in outside.nodes.items() if each.elsewhere] == [node(inside, "seal", 1).key]
    for generation in (1, 2, 3, 4):
        assert node(outside, "llf", generation).key == node(inside, "llf", generation).key


def test_a_fork_of_another_network_is_refused(store: Store, done: str) -> None:
    fork = {"experiment": done, "arm": "seal", "generation": 0}
    arm = {"name": "llf", "method": {"name": "llf"}, "fork": fork, "model": {"name": "resnet18"}}
    assert places_posted(small(arms=[arm]), store) == [("/arms/0/fork", "CONTRADICTION")]


def test_a_file_of_weights_is_identified_by_its_content(store: Store, tmp_path: Path) -> None:
    """A copy of the file has the same keys. Other weights, or another network, have other keys."""
    paths = [weights(tmp_path / "a.pt"), tmp_path / "b.pt"]
    shutil.copy(*paths)
    other = weights(tmp_path / "c.pt", **{"fc.bias": torch.ones(10)})

    def keys(path: Path, **changes: Any) -> set[str]:
        return set(planning.plan(intake.read_spec(evaluated(uri=str(path)) | changes, store)).nodes)

    assert keys(paths[0]) == keys(paths[1])
    assert len(keys(paths[0])) == 2
    assert keys(paths[0]).isdisjoint(keys(other))
    assert keys(paths[0]).isdisjoint(keys(paths[0], model={"name": "resnet-digits", "width": 8}))


def test_a_missing_file_or_one_with_another_digest_is_refused(store: Store, tmp_path: Path) -> None:
    path = weights(tmp_path / "a.pt")
    assert places_posted(evaluated(uri=str(tmp_path / "none.pt")), store) == [
        ("/arms/0/checkpoint/uri", "UNKNOWN_VALUE")
    ]
    assert places_posted(evaluated(uri=str(path), sha256=HASH), store) == [
        ("/arms/0/checkpoint/sha256", "CONTRADICTION")
    ]


def test_weights_have_one_row_whatever_the_seeds(store: Store, tmp_path: Path) -> None:
    arms = [{"name": "there", "checkpoint": {"uri": str(weights(tmp_path / "a.pt"))}}, small()["arms"][0]]
    plan = planning.plan(intake.read_spec(small(arms=arms, seeds=[4, 5]), store))
    assert {(use.arm, use.seed) for use in plan.uses} == {("there", 4), ("normal", 4), ("normal", 5)}


def test_a_fork_from_evaluated_weights_of_an_earlier_experiment_is_refused(store: Store, tmp_path: Path) -> None:
    raw = evaluated(uri=str(weights(tmp_path / "a.pt")))
    spec = intake.read_spec(raw, store)
    plan = planning.plan(spec)
    experiment, _ = store.submit("there", json.loads(spec.model_dump_json()), plan)
    key = node(plan, "there", 0, "checkpoint").key
    store.finish_generation(claimed(store, key, experiment), "by", "mlflow://a", HASH)
    arm = {"name": "on", "method": {"name": "llf"}, "fork": {"experiment": experiment, "arm": "there", "generation": 0}}
    assert places_posted(small(arms=[arm]), store) == [("/arms/0/fork/arm", "CONTRADICTION")]


def test_a_committed_arm_has_the_data_and_model_that_it_was_trained_with(store: Store, done: str) -> None:
    arm = {"name": "there", "checkpoint": {"experiment": done, "arm": "seal"}}
    other = arm | {"data": {"name": "digits"}}
    assert [code for _, code in places_posted(small(arms=[other]), store)] == ["CONTRADICTION"]
    same = arm | {"model": {"name": "resnet-digits", "width": 4}}
    assert intake.read_spec(small(arms=[same]), store).arms[0].model == models.DigitsResNet(width=4)
    usual = {"name": "on", "method": {"name": "llf"}, "fork": {"experiment": done, "arm": "seal", "generation": 0}}
    without = {key: value for key, value in small(arms=[usual]).items() if key != "model"}  # its width would be 16
    assert places_posted(without, store) == [("/arms/0/fork", "CONTRADICTION")]


def test_a_checkpoint_is_one_row_whatever_the_generations_of_the_experiment(store: Store, done: str) -> None:
    raw = evaluated(experiment=done, arm="seal", generation=1)
    raw["train"] = small()["train"] | {"generations": 1}
    raw["evaluations"] = [{"evaluator": {"name": "accuracy"}, "on": [1]}]
    assert planning.plan(intake.read_spec(raw, store)).counts("evaluation") == {"requested": 1, "unique": 1}


def test_a_reference_of_a_wrong_type_is_a_problem(store: Store, done: str) -> None:
    for part in ("fork", "checkpoint"):
        arm = {"name": "a", "method": {"name": "llf"}, part: {"experiment": done, "arm": [], "generation": True}}
        assert places_posted(small(arms=[arm]), store)
