"""Measurements in the store: epochs, warnings, scores, curves and details."""

import math
from typing import Any

from orchestrator.store import Store
from tests.orchestrator.builders import Clock, claimed, epoch_row, submitted
from tests.orchestrator.store.builders import G0, N1, N1_ACCURACY, S1, at_once, running


def test_a_repeated_epoch_keeps_its_values_and_time(store: Store) -> None:
    experiment = running(store)
    store.add_epochs([epoch_row(G0, 0, at=1.0, metrics={"train/loss": 2.5}, warnings=["first"])])
    store.add_epochs([epoch_row(G0, 0, at=9.0, metrics={"train/loss": 9.9}), epoch_row(G0, 1, at=2.0)])
    rows = store.epochs_of(experiment, "normal", 0)
    assert [(row.epoch, row.at, row.metrics, row.warnings) for row in rows] == [
        (0, 1.0, {"train/loss": 2.5}, ["first"]),
        (1, 2.0, {}, []),
    ]


def test_threads_that_add_the_same_epochs_add_them_once(store: Store) -> None:
    """A driver adds epochs when they end, and adds them again when it commits the checkpoint."""
    experiment = running(store)
    rows = [epoch_row(G0, epoch, at=float(epoch)) for epoch in range(5)]
    at_once(8, lambda _: store.add_epochs(rows))
    assert [row.epoch for row in store.epochs_of(experiment, "normal", 0)] == [0, 1, 2, 3, 4]


def test_epochs_are_read_by_arm_and_seed_after_an_id(store: Store) -> None:
    experiment = running(store)
    store.add_epochs([epoch_row(G0, 0), epoch_row(G0, 1), epoch_row(S1, 0, 1), epoch_row(N1, 0, 1)])
    seal = store.epochs_of(experiment, "seal", 0)
    assert [(row.key, row.epoch, row.generation) for row in seal] == [(G0, 0, 0), (G0, 1, 0), (S1, 0, 1)]
    assert [row.key for row in store.epochs_of(experiment, "normal", 0)] == [G0, G0, N1]
    assert [row.id for row in store.epochs_of(experiment, "seal", 0, after=seal[1].id)] == [seal[2].id]
    assert store.epochs_of(experiment, "seal", 1) == []
    assert store.epochs_of(experiment, "llf", 0) == []


def test_the_latest_epoch_and_the_start_of_training(store: Store) -> None:
    experiment = running(store)
    assert store.latest_epochs(experiment) == {}
    assert store.training_began(experiment) is None
    store.add_epochs([epoch_row(G0, 1, at=20.0), epoch_row(G0, 0, at=10.0), epoch_row(S1, 0, 1, at=30.0)])
    latest = store.latest_epochs(experiment)
    assert {key: (row.epoch, row.at) for key, row in latest.items()} == {G0: (1, 20.0), S1: (0, 30.0)}
    assert store.training_began(experiment) == 10.0


def test_training_began_with_the_first_epoch_that_was_not_cached(store: Store) -> None:
    first = running(store)
    store.add_epochs([epoch_row(G0, epoch, at=float(epoch)) for epoch in range(3)])
    store.finish_generation(claimed(store, G0, first), "by", "mlflow://a", "0" * 64)
    second = submitted(store)
    assert store.training_began(second) is None
    store.add_epochs([epoch_row(N1, 0, 1, at=500.0)])
    assert store.training_began(second) == 500.0


def test_warnings_are_found_by_arm_and_generation(store: Store) -> None:
    experiment = running(store)
    store.add_epochs(
        [epoch_row(G0, 0), epoch_row(S1, 0, 1, warnings=["no forgetting happened", "slow"]), epoch_row(N1, 0, 1)]
    )
    assert [vars(row) for row in store.warnings_of(experiment)] == [
        {"arm": "seal", "seed": 0, "generation": 1, "epoch": 0, "warnings": ["no forgetting happened", "slow"]}
    ]
    store.add_epochs([epoch_row(G0, 1, warnings=["shared"])])
    assert [(row.arm, row.generation) for row in store.warnings_of(experiment)] == [
        ("normal", 0),
        ("seal", 0),
        ("seal", 1),
    ]


def test_an_evaluation_commits_scores_and_curves_together(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 42.0
    scores: dict[str, dict[str, Any]] = {
        "top1": {"value": 0.75, "n": 896, "low": 0.72, "high": 0.78},
        "loss": {"value": 1.5, "n": 896, "low": None, "high": None},
    }
    claim = claimed(store, N1_ACCURACY, experiment)
    assert store.finish_evaluation(claim, "by", "accuracy", "digits-noisy", scores, {"votes": [0.5, 1.0]}) is True
    rows = store.results_of(experiment, "normal", 0)
    assert [(row.metric, row.value, row.low, row.high, row.n, row.generation) for row in rows] == [
        ("top1", 0.75, 0.72, 0.78, 896, 1),
        ("loss", 1.5, None, None, 896, 1),
    ]
    assert {(row.evaluator, row.dataset, row.at) for row in rows} == {("accuracy", "digits-noisy", 42.0)}
    assert store.results_of(experiment, "seal", 0) == []
    assert store.results_of(experiment, "normal", 0, after=rows[0].id) == rows[1:]


def test_an_evaluation_whose_claim_was_lost_writes_no_score(store: Store) -> None:
    experiment = running(store)
    lost, held = claimed(store, N1_ACCURACY, experiment), claimed(store, N1_ACCURACY, experiment)
    score = {"top1": {"value": 0.5, "n": 1, "low": None, "high": None}}
    assert store.finish_evaluation(lost, "by", "accuracy", "digits", score, {}) is False
    assert store.results_of(experiment, "normal", 0) == []
    assert store.finish_evaluation(held, "by", "accuracy", "digits", score, {}) is True
    assert store.finish_evaluation(held, "by", "accuracy", "digits", score, {}) is False
    assert len(store.results_of(experiment, "normal", 0)) == 1


def test_every_float_is_read_back_exactly_and_a_missing_score_as_none(store: Store) -> None:
    experiment = running(store)
    values: dict[str, float | None] = {
        "tiny": 5e-324,
        "third": 1 / 3,
        "large": 1.7976931348623157e308,
        "zero": 0.0,
        "missing": None,
    }
    scores: dict[str, dict[str, Any]] = {
        name: {"value": value, "n": 2**40, "low": None, "high": None} for name, value in values.items()
    }
    store.finish_evaluation(claimed(store, N1_ACCURACY, experiment), "by", "accuracy", "digits", scores, {})
    rows = store.results_of(experiment, "normal", 0)
    assert {row.metric: row.value for row in rows} == values
    assert {row.n for row in rows} == {2**40}


def test_a_score_that_is_nan_is_read_back_as_missing(store: Store) -> None:
    experiment = running(store)
    score = {"top1": {"value": math.nan, "n": 1, "low": None, "high": None}}
    store.finish_evaluation(claimed(store, N1_ACCURACY, experiment), "by", "accuracy", "digits", score, {})
    (row,) = store.results_of(experiment, "normal", 0)
    assert row.value is None or math.isnan(row.value)


def test_a_curve_with_nan_does_not_prevent_the_commit_of_scores(store: Store) -> None:
    experiment = running(store)
    score = {"max": {"value": 1.0, "n": 1, "low": None, "high": None}}
    claim = claimed(store, N1_ACCURACY, experiment)
    curves = {"eigenvalues": [1.0, math.nan, math.inf]}
    assert store.finish_evaluation(claim, "by", "hessian-spectrum", "digits", score, curves) is True
    assert [row.value for row in store.results_of(experiment, "normal", 0)] == [1.0]


ABOUT: dict[str, Any] = {
    "version": 2,
    "settings": {"bn_mode": "train", "lr": 0.01},
    "digests": {"5shot": "ab"},
    "notes": [],
}


def test_the_details_of_an_evaluation_are_committed_with_its_scores(store: Store) -> None:
    experiment = running(store)
    score = {"top1": {"value": 0.5, "n": 1, "low": None, "high": None}}
    lost, held = claimed(store, N1_ACCURACY, experiment), claimed(store, N1_ACCURACY, experiment)
    assert store.finish_evaluation(lost, "by", "accuracy", "digits", score, {}, {"version": 1}) is False
    assert store.details_of(experiment) == {}
    assert store.finish_evaluation(held, "by", "accuracy", "digits", score, {}, ABOUT) is True
    assert store.finish_evaluation(held, "by", "accuracy", "digits", score, {}, {"version": 3}) is False
    assert store.details_of(experiment) == {N1_ACCURACY: ABOUT}
    assert store.details_of("exp_of_nobody") == {}
