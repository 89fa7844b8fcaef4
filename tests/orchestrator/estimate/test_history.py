"""Rates are found again in rows that were written at known speeds."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import plan as planning
from orchestrator.estimate import history
from orchestrator.estimate.history import epoch_seconds, judgement_rates, step_rates
from orchestrator.estimate.workload import JudgementKind, StepKind, Work
from orchestrator.intake.check import check
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, epoch_row, resolved, small

STEPS = 3
"""Of an epoch: 40 images in batches of 16."""
CPU = {"device": "cpu", "cpu": "AVX512"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(f"sqlite:///{tmp_path / 'relearn.db'}", itertools.count(1_000_000.0).__next__)
    yield found
    found.close()


def spec_of(epochs: int = 20, **changes: Any) -> dict[str, Any]:
    """One arm of two generations, judged after each."""
    arms = [{"name": "normal", "method": {"name": "normal"}}]
    evaluations = [{"evaluator": {"name": "accuracy"}, "on": ["every"]}]
    train = {"generations": 2, "epochs": epochs, "batch_size": 16}
    return small(arms=arms, evaluations=evaluations) | {"train": train | changes.pop("train", {})} | changes


def made(
    store: Store, raw: dict[str, Any], epoch_s: Iterator[float], judged_s: float = 1.0, machine: dict[str, Any] = CPU
) -> None:
    """An experiment that has succeeded, each of whose epochs took the next of `epoch_s`."""
    spec = check(raw)
    plan = planning.plan(spec)
    identity = store.submit(spec.name, resolved(raw), plan)[0]
    store.start_attempt(identity, ExperimentState.RUNNING)
    at = 5000.0
    for key, node in plan.nodes.items():
        claim = claimed(store, key, identity)
        if node.kind == "generation":
            rows = []
            for epoch in range(spec.train_of(spec.arm(node.arm)).epochs):
                at += next(epoch_s)
                rows.append(epoch_row(key, epoch, node.generation, at))
            store.add_epochs(rows)
            assert store.finish_generation(claim, f"{identity}/{node.title}", f"mlflow:/{key}", "0" * 64, machine)
            at += 1000.0  # whatever is between two generations
        else:
            assert node.evaluator is not None
            about = {
                "evaluator": "accuracy",
                "version": 1,
                "settings": {},
                "target": "digits-noisy#abc",
                "seconds": judged_s,
            }
            about["settings"] = spec.evaluations[0].evaluator.model_dump(mode="json", exclude={"name", "targets"})
            about["version"] = spec.evaluations[0].evaluator.version
            store.finish_evaluation(
                claim, f"{identity}/{node.title}", "accuracy", "digits-noisy", {}, {}, about | {"fingerprint": machine}
            )
    store.move(identity, ExperimentState.SUCCEEDED)


def kinds(raw: dict[str, Any]) -> tuple[StepKind, JudgementKind]:
    spec = check(raw)
    work = Work(spec)
    judged = next(node for node in planning.plan(spec).nodes.values() if node.kind == "evaluation")
    return work.step_kind("normal", 0), work.judgement_kind(judged)


def test_known_rates_are_found_again(store: Store) -> None:
    """Epochs of three steps each, log-normal around 0.6 s: the quantiles of seconds per step are those of 0.2 s."""
    random = np.random.default_rng(0)
    epochs = iter((0.6 * np.exp(random.normal(0, 0.1, size=2000))).tolist())
    for seed in range(12):
        made(store, spec_of(seeds=[seed]), epochs)
    step, judged = kinds(spec_of(seeds=[99]))
    rate = step_rates(store, [step])[step]
    assert len(rate.seconds) == history.GENERATIONS * 19
    spread = np.exp(0.1 * 1.2816)
    assert rate.interval.p50 == pytest.approx(0.2, rel=0.02)
    assert rate.interval.p10 == pytest.approx(0.2 / spread, rel=0.03)
    assert rate.interval.p90 == pytest.approx(0.2 * spread, rel=0.03)
    assert rate.basis == "380 epochs of 20 generations in 10 experiments on AVX512"
    judgements = judgement_rates(store, [judged])[judged]
    assert (set(judgements.seconds), judgements.basis) == ({1.0}, "24 judgements in 12 experiments on AVX512")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "resnet-digits", "width": 5}},
        {"data": {"name": "digits-noisy", "train_per_class": 5}},
        {"train": {"batch_size": 8}},
        {"train": {"precision": "bf16"}},
        {"train": {"evaluate_every": 2}},
        {"resources": {"threads": 2}},
        {"resources": {"gpus": 1}},
        {"resources": {"workers": 2}},
        {"arms": [{"name": "normal", "method": {"name": "sa-gd"}}]},
    ],
)
def test_other_work_says_nothing(store: Store, changes: dict[str, Any]) -> None:
    made(store, spec_of(), itertools.repeat(0.6))
    step, _ = kinds(spec_of(**changes))
    assert step_rates(store, [step]) == {}
    assert judgement_rates(store, [kinds(spec_of(model={"name": "resnet-digits", "width": 5}))[1]]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [5]},
        {"train": {"epochs": 7, "lr": 0.2, "generations": 9}},
        {"arms": [{"name": "normal", "method": {"name": "seal"}}]},
        {"name": "another", "resources": {"cpus": 2, "checkpoint_every_s": 5}},
    ],
)
def test_what_does_not_change_a_steps_time_changes_no_kind(changes: dict[str, Any]) -> None:
    assert kinds(spec_of(**changes)) == kinds(spec_of())


def test_judgements_that_read_the_training_data_are_of_one_kind_only_with_equal_data(store: Store) -> None:
    """40 images to vote and 800 are not the same work; a probe trains on its target alone."""

    def kind(evaluator: dict[str, Any], per_class: int) -> JudgementKind:
        data = {"name": "digits-noisy", "train_per_class": per_class}
        return kinds(spec_of(data=data, evaluations=[{"evaluator": evaluator}]))[1]

    depth, probe = {"name": "prediction-depth"}, {"name": "linear-probe", "targets": ["digits-edges"]}
    assert kind(depth, 4) == kind(depth, 4) != kind(depth, 80)
    assert kind(probe, 4) == kind(probe, 80)
    made(store, spec_of(), itertools.repeat(0.6))
    assert list(judgement_rates(store, [kind({"name": "accuracy"}, 4)])) == [kind({"name": "accuracy"}, 4)]
    assert judgement_rates(store, [kind({"name": "accuracy"}, 80)]) == {}


def test_only_the_newest_machine_counts(store: Store) -> None:
    made(store, spec_of(seeds=[0]), itertools.repeat(0.6))
    made(store, spec_of(seeds=[1]), itertools.repeat(0.3), machine={"device": "cpu", "cpu": "AVX2"})
    step, _ = kinds(spec_of())
    rate = step_rates(store, [step])[step]
    assert {round(each, 6) for each in rate.seconds} == {0.1}
    assert rate.basis == "38 epochs of 2 generations in 1 experiment on AVX2"


def test_experiments_of_other_code_are_passed_over(store: Store) -> None:
    raw = resolved(spec_of()) | {"unknown": 1}
    identity = store.submit("old", raw, planning.plan(check(spec_of())))[0]
    store.start_attempt(identity, ExperimentState.RUNNING)
    step, judged = kinds(spec_of())
    assert (step_rates(store, [step]), judgement_rates(store, [judged])) == ({}, {})


# --- the seconds of a generation's epochs ---


def ends(*seconds: float) -> list[tuple[int, float]]:
    return list(enumerate(itertools.accumulate(seconds, initial=100.0)))


def test_the_first_epoch_is_left_out() -> None:
    assert epoch_seconds(ends(2.0, 2.0, 4.0), 1) == [2.0, 2.0, 4.0]
    assert epoch_seconds([(0, 100.0)], 1) == epoch_seconds([], 1) == []


def test_a_gap_is_left_out() -> None:
    """A worker died in epoch 3; epoch 5 has no row."""
    assert epoch_seconds(ends(2.0, 2.0, 60.0, 2.5), 1) == [2.0, 2.0, 2.5]
    assert epoch_seconds([(0, 0.0), (1, 2.0), (3, 6.0), (4, 8.0)], 1) == [2.0, 2.0]


def test_epochs_that_judge_now_and_then_are_taken_together() -> None:
    """Every third judges: 2, 2, 5 is 3 on average; a window does not reach over a gap, nor is one cut short."""
    assert epoch_seconds(ends(2.0, 2.0, 5.0, 2.0, 2.0, 5.0, 2.0), 3) == [3.0, 3.0]
    assert epoch_seconds(ends(2.0, 2.0, 90.0, 2.0, 2.0, 5.0), 3) == [3.0]
