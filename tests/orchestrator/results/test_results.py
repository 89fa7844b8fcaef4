from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import results
from orchestrator.results.rows import _tested
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from tests.orchestrator.builders import Clock, claimed, epoch_row, node, planned, small, submitted

PLAN = planned(small())
G0, N1, S1 = (node(PLAN, arm, generation).key for arm, generation in (("normal", 0), ("normal", 1), ("seal", 1)))
N1_ACCURACY, S1_ACCURACY = (node(PLAN, arm, 1, "evaluation").key for arm in ("normal", "seal"))
HASH = "0" * 64


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=clock)
    yield store
    store.close()


def row(store: Store, experiment: str) -> Experiment:
    found = store.experiment(experiment)
    assert found is not None
    return found


def view(store: Store, experiment: str, now: float | None = None) -> dict[str, Any]:
    return results.view(store, row(store, experiment), now)


def running(store: Store) -> str:
    experiment = submitted(store)
    store.start_attempt(experiment, ExperimentState.RUNNING)
    return experiment


def train(store: Store, experiment: str, key: str, generation: int, began: float, epoch_s: float = 10.0) -> None:
    """Three epochs and the commit."""
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


def test_both_arms_stand_in_the_generation_that_they_share(store: Store) -> None:
    experiment = running(store)
    metrics = {"train/accuracy": 0.5, "test/accuracy": 0.25}
    store.add_epochs([epoch_row(G0, 0, metrics={}), epoch_row(G0, 1, metrics=metrics)])
    shown = view(store, experiment)
    for each in shown["rows"]:
        assert (each["generation"], each["epoch"], each["phase"]) == (0, 1, "learning")
        assert (each["train_accuracy"], each["test_accuracy"]) == (0.5, 0.25)
    assert shown["progress"]["epochs_done"] == 2


def test_each_arm_stands_in_its_latest_generation(store: Store) -> None:
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


def test_what_was_done_before_counts_as_done_and_as_cached(store: Store) -> None:
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
    """Nine epochs of ten seconds each, one after the other, looked at when the last of them ended."""
    experiment = running(store)
    order = [(key, epoch, generation) for key, generation in ((G0, 0), (N1, 1), (S1, 1)) for epoch in range(3)]
    ended = 100.0
    for key, epoch, generation in order[:done]:
        ended += 10
        store.add_epochs([epoch_row(key, epoch, generation, at=ended)])
    assert view(store, experiment, now=ended)["progress"]["training_left_s"] == left


def test_time_left_is_told_only_while_there_is_something_left(store: Store) -> None:
    experiment = running(store)
    train(store, experiment, G0, 0, began=0)
    assert view(store, experiment, now=30.0)["progress"]["training_left_s"] is not None
    store.move(experiment, ExperimentState.CANCELLED)
    assert view(store, experiment, now=30.0)["progress"]["training_left_s"] is None
    whole = running(store)
    train(store, whole, N1, 1, began=0)
    train(store, whole, S1, 1, began=30)
    assert view(store, whole, now=70.0)["progress"]["training_left_s"] is None


def test_epochs_done_before_say_nothing_about_the_pace(store: Store) -> None:
    first = running(store)
    train(store, first, G0, 0, began=0, epoch_s=1000.0)
    store.move(first, ExperimentState.CANCELLED)
    second = running(store)
    assert view(store, second, now=99_000.0)["progress"]["training_left_s"] is None
    store.add_epochs([epoch_row(N1, 0, 1, at=100_000.0), epoch_row(N1, 1, 1, at=100_010.0)])
    left = view(store, second, now=100_010.0)["progress"]["training_left_s"]
    assert left is not None
    assert left <= 40.0


def test_each_warning_says_where_it_came_from(store: Store) -> None:
    experiment = running(store)
    store.add_epochs([epoch_row(S1, 0, 1, warnings=["nothing was forgotten", "slow"]), epoch_row(N1, 0, 1)])
    assert view(store, experiment)["warnings"] == [
        {"arm": "seal", "seed": 0, "generation": 1, "message": "nothing was forgotten"},
        {"arm": "seal", "seed": 0, "generation": 1, "message": "slow"},
    ]


def test_the_end_of_an_experiment_is_told_with_its_reason(store: Store, clock: Clock) -> None:
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
        "created_at": "1970-01-01T00:00:01.500+00:00",
        "started_at": None,
        "finished_at": None,
    }


def test_result_rows_are_tidy_and_a_shared_score_stands_in_each_row_that_shows_it(store: Store) -> None:
    raw = small(evaluations=[{"evaluator": {"name": "accuracy"}, "on": ["every"]}])
    plan = planned(raw)
    experiment = submitted(store, raw)
    about = {"evaluator": "accuracy", "version": 1, "settings": {}, "notes": ["a reduced run"]}
    for arm, generation, value, said in (("normal", 0, 0.5, about), ("seal", 1, 0.75, None)):
        key = node(plan, arm, generation, "evaluation").key
        score = {"top1": {"value": value, "n": 896, "low": value - 0.25, "high": None}}
        store.finish_evaluation(claimed(store, key, experiment), "by", "accuracy", "digits-noisy", score, {}, said)
    common: dict[str, Any] = {
        "seed": 0,
        "evaluator": "accuracy",
        "dataset": "digits-noisy",
        "metric": "top1",
        "high": None,
        "n": 896,
        "unit": "share",
        "better": "higher",
        "headline": True,
    }
    g0, g1 = (node(plan, arm, generation, "evaluation").key for arm, generation in (("normal", 0), ("seal", 1)))
    common["made_by"] = "by"
    assert list(results.result_rows(store, row(store, experiment))) == [
        {"arm": "normal", "generation": 0, "value": 0.5, "low": 0.25, **common, "details": about, "node": g0},
        {"arm": "seal", "generation": 0, "value": 0.5, "low": 0.25, **common, "details": about, "node": g0},
        {"arm": "seal", "generation": 1, "value": 0.75, "low": 0.5, **common, "details": {}, "node": g1},
    ]


def test_the_last_and_the_best_epoch_of_each_committed_generation_are_kept_apart(store: Store) -> None:
    """The second epoch was not measured; 672 of 896 are right in the best two, of which the first counts."""
    experiment = running(store)

    def measure(key: str, generation: int, *accuracies: float | None) -> None:
        metrics: list[dict[str, float]] = [{} if each is None else {"test/accuracy": each} for each in accuracies]
        store.add_epochs([epoch_row(key, epoch, generation, metrics=each) for epoch, each in enumerate(metrics)])

    measure(G0, 0, 0.75, None, 0.75, 0.5)
    measure(S1, 1, 0.25, None, 0.125)
    store.finish_generation(claimed(store, G0, experiment), "by", "mlflow://a", HASH)
    common = {"seed": 0, "generation": 0, "evaluator": "training", "dataset": "digits-noisy", "n": 896}
    common |= {"unit": "share", "better": "higher"}
    last = common | {
        "metric": "test_accuracy/last",
        "value": 0.5,
        "details": {"epoch": 3, "notes": []},
        "headline": True,
    }
    said = "best of 3 measured epochs on the test images"
    best = common | {"metric": "test_accuracy/best", "value": 0.75, "details": {"epoch": 0, "notes": [said]}}
    best |= {"headline": False}
    rows = list(results.result_rows(store, row(store, experiment)))
    bounds = [(each.pop("low"), each.pop("high")) for each in rows]
    assert {(each.pop("node"), each.pop("made_by")) for each in rows} == {(G0, "by")}
    assert rows == [{"arm": arm} | each for arm in ("normal", "seal") for each in (last, best)]
    # Wilson's bounds for 448 and 672 of 896, from its formula
    assert bounds == [pytest.approx((0.467330, 0.532670), abs=1e-6), pytest.approx((0.720620, 0.777245), abs=1e-6)] * 2

    store.finish_generation(claimed(store, S1, experiment), "by", "mlflow://b", HASH)
    rows = list(results.result_rows(store, row(store, experiment)))
    found = {
        (each["arm"], each["generation"], each["metric"]): (each["value"], each["details"]["epoch"]) for each in rows
    }
    assert found == {
        ("normal", 0, "test_accuracy/last"): (0.5, 3),
        ("normal", 0, "test_accuracy/best"): (0.75, 0),
        ("seal", 0, "test_accuracy/last"): (0.5, 3),
        ("seal", 0, "test_accuracy/best"): (0.75, 0),
        ("seal", 1, "test_accuracy/last"): (0.125, 2),
        ("seal", 1, "test_accuracy/best"): (0.25, 0),
    }


def test_data_that_is_not_on_this_machine_leaves_the_number_of_test_images_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path))
    assert _tested({"name": "tiny-imagenet", "recipe": "probe-64"}) == ("tiny-imagenet.probe-64", None)
    assert _tested({"name": "digits", "of_later_code": 1}) == ("digits", None)
    assert _tested({"name": "digits-0-4"}) == ("digits-0-4", 449)


def test_evaluations_are_counted_when_they_are_done(store: Store) -> None:
    experiment = running(store)
    claim = claimed(store, N1_ACCURACY, experiment)
    assert view(store, experiment)["progress"]["evaluations_done"] == 0
    store.finish_evaluation(claim, "by", "accuracy", "digits-noisy", {}, {})
    progress = view(store, experiment)["progress"]
    assert (progress["evaluations_done"], progress["evaluations_total"]) == (1, 2)
