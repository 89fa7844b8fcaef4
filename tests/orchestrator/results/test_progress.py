"""The view of an experiment: its state, its progress and its rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import results
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import Clock, claimed, epoch_row, submitted
from tests.orchestrator.results.builders import G0, HASH, N1, N1_ACCURACY, S1, S1_ACCURACY, row, running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=clock)
    yield store
    store.close()


def view(store: Store, experiment: str, now: float | None = None) -> dict[str, Any]:
    return results.view(store, row(store, experiment), now)


def train(store: Store, experiment: str, key: str, generation: int, began: float, epoch_s: float = 10.0) -> None:
    """Stores three epochs of a generation and commits it."""
    rows = [epoch_row(key, epoch, generation, at=began + (epoch + 1) * epoch_s) for epoch in range(3)]
    store.add_epochs(rows)
    assert store.finish_generation(claimed(store, key, experiment), "by", f"mlflow://{key[:4]}", HASH)


def test_the_view_of_a_queued_experiment(store: Store, clock: Clock) -> None:
    clock.at = 1_764_000_000.25
    experiment = submitted(store)
    waiting = {
        "generation": None,
        "generations": 2,
        "generations_committed": 0,
        "epoch": None,
        "epochs": 3,
        "phase": None,
    }
    waiting |= {"train_accuracy": None, "test_accuracy": None}
    none = {"RUNNING": 0, "SUCCEEDED": 0, "FAILED": 0, "SKIPPED": 0}
    assert view(store, experiment) == {
        "id": experiment,
        "name": "small",
        "state": "QUEUED",
        "reason": None,
        "message": None,
        "failures": [],
        "attempt": 0,
        "created_at": "2025-11-24T16:00:00.250+00:00",
        "started_at": None,
        "finished_at": None,
        "plan": {
            "generation": {"requested": 4, "unique": 3, "cached": 0},
            "evaluation": {"requested": 2, "unique": 2, "cached": 0},
        },
        "progress": {
            "epochs_done": 0,
            "epochs_total": 9,
            "epochs_cached": 0,
            "evaluations_done": 0,
            "evaluations_total": 2,
            "training_left_s": None,
        },
        "nodes": {
            "generation": {"QUEUED": 3, **none},
            "checkpoint": {"QUEUED": 0, **none},
            "evaluation": {"QUEUED": 2, **none},
        },
        "rows": [{"arm": "normal", "seed": 0, **waiting}, {"arm": "seal", "seed": 0, **waiting}],
        "warnings": [],
        "search": None,
        "published": False,
    }


def test_both_arms_show_the_generation_that_they_share(store: Store) -> None:
    experiment = running(store)
    metrics = {"train/accuracy": 0.5, "test/accuracy": 0.25}
    store.add_epochs([epoch_row(G0, 0, metrics={}), epoch_row(G0, 1, metrics=metrics)])
    shown = view(store, experiment)
    for each in shown["rows"]:
        assert (each["generation"], each["epoch"], each["phase"]) == (0, 1, "learning")
        assert (each["train_accuracy"], each["test_accuracy"]) == (0.5, 0.25)
    assert shown["progress"]["epochs_done"] == 2


def test_each_arm_shows_its_latest_generation(store: Store) -> None:
    experiment = running(store)
    train(store, experiment, G0, 0, began=0)
    store.add_epochs([epoch_row(S1, 0, 1, phase="forgetting", metrics={"train/accuracy": 0.125})])
    normal, seal = view(store, experiment)["rows"]
    assert (normal["generation"], normal["epoch"], normal["generations_committed"]) == (0, 2, 1)
    assert (seal["generation"], seal["epoch"], seal["generations_committed"]) == (1, 0, 1)
    assert (seal["phase"], seal["train_accuracy"], seal["test_accuracy"]) == ("forgetting", 0.125, None)


def test_nodes_are_counted_once_by_kind_and_state(store: Store) -> None:
    experiment = running(store)
    train(store, experiment, G0, 0, began=0)
    claimed(store, N1, experiment)
    store.fail_node(claimed(store, S1, experiment), Reason.OOM, "no memory")
    store.release(experiment, [S1_ACCURACY])
    claimed(store, N1, experiment)
    nodes = view(store, experiment)["nodes"]
    assert nodes["generation"] == {"QUEUED": 0, "RUNNING": 1, "SUCCEEDED": 1, "FAILED": 1, "SKIPPED": 0}
    assert nodes["evaluation"] == {"QUEUED": 1, "RUNNING": 0, "SUCCEEDED": 0, "FAILED": 0, "SKIPPED": 1}


def test_work_done_before_counts_as_done_and_as_cached(store: Store) -> None:
    first = running(store)
    train(store, first, G0, 0, began=0)
    train(store, first, N1, 1, began=30)
    second = running(store)
    progress = view(store, second)["progress"]
    assert (progress["epochs_done"], progress["epochs_total"], progress["epochs_cached"]) == (6, 9, 6)
    assert view(store, first)["progress"]["epochs_cached"] == 0
    assert view(store, second)["plan"]["generation"] == {"requested": 4, "unique": 3, "cached": 2}


@pytest.mark.parametrize(("done", "left"), [(0, None), (1, None), (2, 70.0), (3, 60.0), (5, 40.0), (8, 10.0)])
def test_at_a_steady_pace_the_time_left_is_exact(store: Store, done: int, left: float | None) -> None:
    """Nine epochs of ten seconds each in sequence; the view is taken at the end of the last of them."""
    experiment = running(store)
    order = [(key, epoch, generation) for key, generation in ((G0, 0), (N1, 1), (S1, 1)) for epoch in range(3)]
    ended = 100.0
    for key, epoch, generation in order[:done]:
        ended += 10
        store.add_epochs([epoch_row(key, epoch, generation, at=ended)])
    assert view(store, experiment, now=ended)["progress"]["training_left_s"] == left


def test_time_left_is_given_only_while_training_is_left(store: Store) -> None:
    experiment = running(store)
    train(store, experiment, G0, 0, began=0)
    assert view(store, experiment, now=30.0)["progress"]["training_left_s"] is not None
    store.move(experiment, ExperimentState.CANCELLED)
    assert view(store, experiment, now=30.0)["progress"]["training_left_s"] is None
    whole = running(store)
    train(store, whole, N1, 1, began=0)
    train(store, whole, S1, 1, began=30)
    assert view(store, whole, now=70.0)["progress"]["training_left_s"] is None


def test_epochs_done_before_are_not_part_of_the_pace(store: Store) -> None:
    first = running(store)
    train(store, first, G0, 0, began=0, epoch_s=1000.0)
    store.move(first, ExperimentState.CANCELLED)
    second = running(store)
    assert view(store, second, now=99_000.0)["progress"]["training_left_s"] is None
    store.add_epochs([epoch_row(N1, 0, 1, at=100_000.0), epoch_row(N1, 1, 1, at=100_010.0)])
    left = view(store, second, now=100_010.0)["progress"]["training_left_s"]
    assert left is not None
    assert left <= 40.0


def test_each_warning_names_its_arm_seed_and_generation(store: Store) -> None:
    experiment = running(store)
    store.add_epochs([epoch_row(S1, 0, 1, warnings=["nothing was forgotten", "slow"]), epoch_row(N1, 0, 1)])
    assert view(store, experiment)["warnings"] == [
        {"arm": "seal", "seed": 0, "generation": 1, "message": "nothing was forgotten"},
        {"arm": "seal", "seed": 0, "generation": 1, "message": "slow"},
    ]


def test_a_failed_experiment_has_a_reason_and_a_message(store: Store, clock: Clock) -> None:
    experiment = submitted(store)
    clock.at = 0.0
    store.start_attempt(experiment, ExperimentState.RUNNING)
    clock.at = 86_399.9994
    store.move(experiment, ExperimentState.FAILED, reason=Reason.DIVERGED, message="the loss is not finite")
    shown = view(store, experiment)
    assert (shown["state"], shown["reason"], shown["message"]) == ("FAILED", "DIVERGED", "the loss is not finite")
    assert (shown["started_at"], shown["finished_at"]) == (
        "1970-01-01T00:00:00.000+00:00",
        "1970-01-01T23:59:59.999+00:00",
    )


def test_the_summary_is_short(store: Store, clock: Clock) -> None:
    clock.at = 1.5
    experiment = submitted(store)
    assert results.summary(row(store, experiment)) == {
        "id": experiment,
        "name": "small",
        "state": "QUEUED",
        "reason": None,
        "message": None,
        "created_at": "1970-01-01T00:00:01.500+00:00",
        "started_at": None,
        "finished_at": None,
    }


def test_evaluations_are_counted_when_they_are_done(store: Store) -> None:
    experiment = running(store)
    claim = claimed(store, N1_ACCURACY, experiment)
    assert view(store, experiment)["progress"]["evaluations_done"] == 0
    store.finish_evaluation(claim, "by", "accuracy", "digits-noisy", {}, {})
    progress = view(store, experiment)["progress"]
    assert (progress["evaluations_done"], progress["evaluations_total"]) == (1, 2)
