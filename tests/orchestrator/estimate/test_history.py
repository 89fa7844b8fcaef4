"""Rates from rows that the tests write at known speeds."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import plan as planning
from orchestrator.estimate import history
from orchestrator.estimate.history import epoch_seconds, evaluation_rates, step_rates
from orchestrator.estimate.workload import EvaluationKind, StepKind, Workload
from orchestrator.intake.check import check
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, epoch_row, resolved, small

STEPS = 3
"""The steps of an epoch: 40 images in batches of 16."""
CPU = {"device": "cpu", "cpu": "AVX512"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(f"sqlite:///{tmp_path / 'relearn.db'}", itertools.count(1_000_000.0).__next__)
    yield found
    found.close()


def spec_of(epochs: int = 20, **changes: Any) -> dict[str, Any]:
    """Returns a spec with one arm of two generations that is evaluated after each."""
    arms = [{"name": "normal", "method": {"name": "normal"}}]
    evaluations = [{"evaluator": {"name": "accuracy"}, "on": ["every"]}]
    train = {"generations": 2, "epochs": epochs, "batch_size": 16}
    return small(arms=arms, evaluations=evaluations) | {"train": train | changes.pop("train", {})} | changes


def made(
    store: Store,
    raw: dict[str, Any],
    epoch_s: Iterator[float],
    evaluation_s: float = 1.0,
    machine: dict[str, Any] = CPU,
) -> None:
    """Stores an experiment that has succeeded and whose epochs took the next values of `epoch_s`, in seconds."""
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
            at += 1000.0  # the pause between two generations
        else:
            assert node.evaluator is not None
            about = {
                "evaluator": "accuracy",
                "version": 1,
                "settings": {},
                "target": "digits-noisy#abc",
                "seconds": evaluation_s,
            }
            about["settings"] = spec.evaluations[0].evaluator.model_dump(mode="json", exclude={"name", "targets"})
            about["version"] = spec.evaluations[0].evaluator.version
            store.finish_evaluation(
                claim, f"{identity}/{node.title}", "accuracy", "digits-noisy", {}, {}, about | {"fingerprint": machine}
            )
    store.move(identity, ExperimentState.SUCCEEDED)


def kinds(raw: dict[str, Any]) -> tuple[StepKind, EvaluationKind]:
    spec = check(raw)
    workload = Workload(spec)
    evaluation = next(node for node in planning.plan(spec).nodes.values() if node.kind == "evaluation")
    return workload.step_kind("normal", 0), workload.evaluation_kind(evaluation)


def test_known_rates_are_found_again(store: Store) -> None:
    """Epochs of three steps are log-normal around 0.6 s, so a step is log-normal around 0.2 s."""
    random = np.random.default_rng(0)
    epochs = iter((0.6 * np.exp(random.normal(0, 0.1, size=2000))).tolist())
    for seed in range(12):
        made(store, spec_of(seeds=[seed]), epochs)
    step, evaluation = kinds(spec_of(seeds=[99]))
    rate = step_rates(store, [step])[step]
    assert len(rate.seconds) == history.MAX_GENERATIONS * 19
    spread = np.exp(0.1 * 1.2816)
    assert rate.interval.p50 == pytest.approx(0.2, rel=0.02)
    assert rate.interval.p10 == pytest.approx(0.2 / spread, rel=0.03)
    assert rate.interval.p90 == pytest.approx(0.2 * spread, rel=0.03)
    assert rate.basis == "380 epochs of 20 generations in 10 experiments on AVX512"
    evaluations = evaluation_rates(store, [evaluation])[evaluation]
    assert (set(evaluations.seconds), evaluations.basis) == ({1.0}, "24 evaluations in 12 experiments on AVX512")


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
def test_other_kinds_of_work_give_no_rate(store: Store, changes: dict[str, Any]) -> None:
    made(store, spec_of(), itertools.repeat(0.6))
    step, _ = kinds(spec_of(**changes))
    assert step_rates(store, [step]) == {}
    assert evaluation_rates(store, [kinds(spec_of(model={"name": "resnet-digits", "width": 5}))[1]]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [5]},
        {"train": {"epochs": 7, "lr": 0.2, "generations": 9}},
        {"arms": [{"name": "normal", "method": {"name": "seal"}}]},
        {"name": "another", "resources": {"cpus": 2, "checkpoint_every_s": 5}},
    ],
)
def test_settings_that_do_not_change_the_time_of_a_step_do_not_change_its_kind(changes: dict[str, Any]) -> None:
    assert kinds(spec_of(**changes)) == kinds(spec_of())


def test_evaluations_that_read_the_training_data_are_of_the_same_kind_only_with_equal_data(store: Store) -> None:
    """Prediction depth compares with all training images, 40 or 800; a probe trains on its target alone."""

    def kind(evaluator: dict[str, Any], per_class: int) -> EvaluationKind:
        data = {"name": "digits-noisy", "train_per_class": per_class}
        return kinds(spec_of(data=data, evaluations=[{"evaluator": evaluator}]))[1]

    depth, probe = {"name": "prediction-depth"}, {"name": "linear-probe", "targets": ["digits-edges"]}
    assert kind(depth, 4) == kind(depth, 4) != kind(depth, 80)
    assert kind(probe, 4) == kind(probe, 80)
    made(store, spec_of(), itertools.repeat(0.6))
    assert list(evaluation_rates(store, [kind({"name": "accuracy"}, 4)])) == [kind({"name": "accuracy"}, 4)]
    assert evaluation_rates(store, [kind({"name": "accuracy"}, 80)]) == {}


def test_only_the_newest_machine_counts(store: Store) -> None:
    made(store, spec_of(seeds=[0]), itertools.repeat(0.6))
    made(store, spec_of(seeds=[1]), itertools.repeat(0.3), machine={"device": "cpu", "cpu": "AVX2"})
    step, _ = kinds(spec_of())
    rate = step_rates(store, [step])[step]
    assert {round(each, 6) for each in rate.seconds} == {0.1}
    assert rate.basis == "38 epochs of 2 generations in 1 experiment on AVX2"


def test_experiments_with_an_invalid_spec_are_skipped(store: Store) -> None:
    raw = resolved(spec_of()) | {"unknown": 1}
    identity = store.submit("old", raw, planning.plan(check(spec_of())))[0]
    store.start_attempt(identity, ExperimentState.RUNNING)
    step, evaluation = kinds(spec_of())
    assert (step_rates(store, [step]), evaluation_rates(store, [evaluation])) == ({}, {})


# --- the seconds of a generation's epochs ---


def ends(*seconds: float) -> list[tuple[int, float]]:
    return list(enumerate(itertools.accumulate(seconds, initial=100.0)))


def test_the_first_epoch_is_left_out() -> None:
    assert epoch_seconds(ends(2.0, 2.0, 4.0), 1) == [2.0, 2.0, 4.0]
    assert epoch_seconds([(0, 100.0)], 1) == epoch_seconds([], 1) == []


def test_a_gap_is_left_out() -> None:
    """In the first generation a worker died in epoch 3; in the second, epoch 2 has no row."""
    assert epoch_seconds(ends(2.0, 2.0, 60.0, 2.5), 1) == [2.0, 2.0, 2.5]
    assert epoch_seconds([(0, 0.0), (1, 2.0), (3, 6.0), (4, 8.0)], 1) == [2.0, 2.0]


def test_a_window_of_epochs_with_one_evaluation_is_averaged() -> None:
    """Every third epoch evaluates: 2, 2, 5 is 3 on average. A window has no gap and is never shorter."""
    assert epoch_seconds(ends(2.0, 2.0, 5.0, 2.0, 2.0, 5.0, 2.0), 3) == [3.0, 3.0]
    assert epoch_seconds(ends(2.0, 2.0, 90.0, 2.0, 2.0, 5.0), 3) == [3.0]
