"""The same suite for SQLite and, where RELEARN_TEST_POSTGRES names a database (a SQLAlchemy URL), for PostgreSQL."""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.states import ExperimentState, Reason
from orchestrator.store import KeyReused, Store
from tests.orchestrator.builders import Clock, claimed, epoch_row, node, planned, resolved, small, submitted

PLAN = planned(small())
G0, N1, S1 = (node(PLAN, arm, generation).key for arm, generation in (("normal", 0), ("normal", 1), ("seal", 1)))
N1_ACCURACY = node(PLAN, "normal", 1, "evaluation").key


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    store = Store(url, now=clock)
    yield store
    store.close()


def state(store: Store, experiment: str) -> str:
    row = store.experiment(experiment)
    assert row is not None
    return str(row.state)


def running(store: Store) -> str:
    """The id of an experiment in its first attempt."""
    experiment = submitted(store)
    store.start_attempt(experiment, ExperimentState.STARTING)
    assert store.move(experiment, ExperimentState.RUNNING, attempt=1)
    return experiment


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `count` threads get that start together; raises what one of them raises."""
    barrier = threading.Barrier(count)

    def run(index: int) -> Any:
        barrier.wait(timeout=30)
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


# --- submitting ---


def test_a_submitted_experiment_is_queued_with_its_plan_and_nodes(store: Store, clock: Clock) -> None:
    clock.at = 1_764_000_000.0
    experiment, new = store.submit("small", resolved(small()), PLAN)
    row = store.experiment(experiment)
    assert new
    assert row is not None
    assert experiment.startswith("exp_20251124-160000-")
    assert (row.name, row.state, row.attempt, row.created_at) == ("small", "QUEUED", 0, 1_764_000_000.0)
    assert (row.started_at, row.finished_at, row.reason, row.published) == (None, None, None, False)
    assert row.spec == resolved(small())
    assert row.plan == {
        "generation": {"requested": 4, "unique": 3, "cached": 0},
        "evaluation": {"requested": 2, "unique": 2, "cached": 0},
    }
    nodes = store.nodes_of(experiment)
    assert set(nodes) == set(PLAN.nodes)
    assert {each.state for each in nodes.values()} == {"QUEUED"}
    assert sorted((use.arm, use.generation, use.kind, use.cached) for use in store.uses_of(experiment)) == [
        ("normal", 0, "generation", False),
        ("normal", 1, "evaluation", False),
        ("normal", 1, "generation", False),
        ("seal", 0, "generation", False),
        ("seal", 1, "evaluation", False),
        ("seal", 1, "generation", False),
    ]


def test_what_is_done_is_cached_for_the_next_experiment(store: Store) -> None:
    first = running(store)
    assert store.finish_generation(claimed(store, G0, first), "first/normal/seed0/g0", "mlflow://a", "f" * 64)
    second = submitted(store)
    row = store.experiment(second)
    assert row is not None
    assert row.plan["generation"] == {"requested": 4, "unique": 3, "cached": 1}
    assert {(use.arm, use.generation) for use in store.uses_of(second) if use.cached} == {
        ("normal", 0),
        ("seal", 0),
    }
    assert not any(use.cached for use in store.uses_of(first))
    assert store.nodes_of(second)[G0].checkpoint_uri == "mlflow://a"


def test_a_node_that_failed_before_is_tried_again_by_the_next_experiment(store: Store) -> None:
    first = running(store)
    store.fail_node(claimed(store, G0, first), Reason.OOM, "no memory")
    store.release(first, [N1])
    assert [store.nodes_of(first)[key].state for key in (G0, N1)] == ["FAILED", "SKIPPED"]
    again = store.nodes_of(submitted(store))
    assert [(again[key].state, again[key].reason, again[key].message) for key in (G0, N1)] == [
        ("QUEUED", None, None)
    ] * 2


def test_the_same_key_and_body_are_one_experiment(store: Store) -> None:
    first = store.submit("small", resolved(small()), PLAN, "key", "a" * 64)
    assert first[1] is True
    assert store.submit("small", resolved(small()), PLAN, "key", "a" * 64) == (first[0], False)
    assert len(store.experiments()) == 1


def test_the_same_key_with_another_body_is_refused_and_stores_nothing(store: Store) -> None:
    store.submit("small", resolved(small()), PLAN, "key", "a" * 64)
    with pytest.raises(KeyReused, match="'key' came with another body before"):
        store.submit("small", resolved(small()), PLAN, "key", "b" * 64)
    assert len(store.experiments()) == 1


def test_no_key_or_another_one_is_another_experiment(store: Store) -> None:
    keys = ("one", "two", None, None)
    ids = {store.submit("small", resolved(small()), PLAN, key, "a" * 64)[0] for key in keys}
    assert len(ids) == 4


def test_50_threads_with_one_key_make_one_experiment(store: Store) -> None:
    spec = resolved(small())
    answers = at_once(50, lambda _: store.submit("small", spec, PLAN, "key", "a" * 64))
    assert len({experiment for experiment, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1
    assert len(store.experiments()) == 1


def test_threads_that_submit_the_same_work_at_once_all_succeed(store: Store) -> None:
    spec = resolved(small())
    answers = at_once(16, lambda index: store.submit("small", spec, PLAN, f"key{index}", "a" * 64))
    assert len({experiment for experiment, new in answers if new}) == 16
    assert all(len(store.nodes_of(experiment)) == 5 for experiment, _ in answers)


def test_threads_whose_plans_overlap_all_succeed(store: Store) -> None:
    """Generation 0 is common to all, the rest is each one's own."""
    raw = [small(arms=[{"name": "seal", "method": {"name": "seal", "ascent_scale": 1 + index}}]) for index in range(12)]
    ready = [(resolved(each), planned(each)) for each in raw]
    answers = at_once(12, lambda index: store.submit("small", *ready[index]))
    assert len({experiment for experiment, _ in answers}) == 12


def test_a_failed_submission_leaves_nothing(store: Store) -> None:
    with pytest.raises((sa.exc.StatementError, TypeError)):
        store.submit("small", {"not": object()}, PLAN)
    assert store.experiments() == []
    assert submitted(store)


# --- lists ---


def test_experiments_come_newest_first_by_state_and_limit(store: Store, clock: Clock) -> None:
    ids = []
    for clock.at in (10.0, 20.0, 30.0):
        ids.append(submitted(store))
    store.move(ids[1], ExperimentState.CANCELLED)
    assert [row.id for row in store.experiments()] == ids[::-1]
    assert [row.id for row in store.experiments(limit=2)] == [ids[2], ids[1]]
    assert [row.id for row in store.experiments([ExperimentState.QUEUED])] == [ids[2], ids[0]]
    assert [row.id for row in store.experiments([ExperimentState.CANCELLED, ExperimentState.FAILED])] == [ids[1]]
    assert store.experiments([]) == []


def test_an_id_that_no_database_takes_is_not_there(store: Store) -> None:
    """The API asks for the experiment before anything else."""
    assert store.experiment("\x00") is None


@pytest.mark.parametrize("experiment", ["exp_of_nobody", "", "x" * 10_000, "é☃"])
def test_what_was_never_submitted_is_not_there(store: Store, experiment: str) -> None:
    assert store.experiment(experiment) is None
    assert store.nodes_of(experiment) == {}
    assert store.uses_of(experiment) == []
    assert store.move(experiment, ExperimentState.RUNNING) is False
    assert store.start_attempt(experiment, ExperimentState.STARTING) is None
    assert store.heartbeat(experiment, 1) is None


def test_ended_experiments_are_unpublished_until_they_are_published(store: Store) -> None:
    live, ended = submitted(store), submitted(store)
    store.move(ended, ExperimentState.CANCELLED)
    assert [row.id for row in store.unpublished()] == [ended]
    store.set_published(ended)
    assert store.unpublished() == []
    store.move(live, ExperimentState.FAILED, reason=Reason.OOM)
    assert [row.id for row in store.unpublished()] == [live]


# --- attempts and states ---


def test_attempts_are_numbered_and_the_first_sets_the_start(store: Store, clock: Clock) -> None:
    experiment = submitted(store)
    clock.at = 2_000.0
    assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
    clock.at = 3_000.0
    assert store.start_attempt(experiment, ExperimentState.RECOVERING) == 2
    row = store.experiment(experiment)
    assert row is not None
    assert (row.state, row.attempt, row.started_at, row.alive_at) == ("RECOVERING", 2, 2_000.0, 3_000.0)


@pytest.mark.parametrize("ended", [ExperimentState.SUCCEEDED, ExperimentState.FAILED, ExperimentState.CANCELLED])
@pytest.mark.parametrize(
    "to",
    [
        ExperimentState.STARTING,
        ExperimentState.RUNNING,
        ExperimentState.RECOVERING,
        ExperimentState.CANCELLING,
        ExperimentState.SUCCEEDED,
        ExperimentState.FAILED,
        ExperimentState.CANCELLED,
    ],
)
def test_a_terminal_state_never_changes(
    store: Store, clock: Clock, ended: ExperimentState, to: ExperimentState
) -> None:
    experiment = running(store)
    clock.at = 50.0
    assert store.move(experiment, ended, reason=Reason.OOM, message="why")
    clock.at = 60.0
    assert store.move(experiment, to, reason=Reason.WORKER_LOST, message="no") is False
    assert store.move(experiment, to, attempt=1) is False
    assert store.start_attempt(experiment, ExperimentState.RECOVERING) is None
    row = store.experiment(experiment)
    assert row is not None
    assert (row.state, row.reason, row.message, row.finished_at) == (ended, "OOM", "why", 50.0)
    assert row.attempt == 1


@pytest.mark.parametrize(
    "to",
    [
        ExperimentState.STARTING,
        ExperimentState.RUNNING,
        ExperimentState.RECOVERING,
        ExperimentState.SUCCEEDED,
        ExperimentState.FAILED,
    ],
)
def test_a_cancel_wins_over_everything_but_its_own_end(store: Store, to: ExperimentState) -> None:
    experiment = running(store)
    assert store.move(experiment, ExperimentState.CANCELLING)
    assert store.move(experiment, to, attempt=1) is False
    assert store.move(experiment, to) is False
    assert store.start_attempt(experiment, ExperimentState.RECOVERING) is None
    assert state(store, experiment) == "CANCELLING"
    assert store.move(experiment, ExperimentState.CANCELLED)


def test_an_attempt_that_was_replaced_moves_nothing(store: Store) -> None:
    experiment = running(store)
    assert store.start_attempt(experiment, ExperimentState.RECOVERING) == 2
    assert store.move(experiment, ExperimentState.SUCCEEDED, attempt=1) is False
    assert store.move(experiment, ExperimentState.FAILED, attempt=1, reason=Reason.OOM) is False
    assert store.move(experiment, ExperimentState.RUNNING, attempt=2) is True
    assert store.move(experiment, ExperimentState.SUCCEEDED, attempt=2) is True


def test_moving_on_forgets_the_reason_of_before(store: Store) -> None:
    experiment = running(store)
    store.move(experiment, ExperimentState.RECOVERING, reason=Reason.WORKER_LOST, message="killed")
    store.move(experiment, ExperimentState.RUNNING)
    row = store.experiment(experiment)
    assert row is not None
    assert (row.reason, row.message, row.finished_at) == (None, None, None)


def test_a_heartbeat_says_the_state_and_renews_the_lease(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 77.0
    assert store.heartbeat(experiment, 1) == "RUNNING"
    assert store.heartbeat(experiment, 1, message="waiting for MLflow") == "RUNNING"
    row = store.experiment(experiment)
    assert row is not None
    assert (row.alive_at, row.message) == (77.0, "waiting for MLflow")
    store.move(experiment, ExperimentState.CANCELLING)
    assert store.heartbeat(experiment, 1) == "CANCELLING"


def test_the_heartbeat_of_an_old_attempt_is_not_heard(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 100.0
    store.start_attempt(experiment, ExperimentState.RECOVERING)
    clock.at = 200.0
    assert store.heartbeat(experiment, 1, message="I am here") is None
    row = store.experiment(experiment)
    assert row is not None
    assert (row.alive_at, row.message) == (100.0, None)
    assert store.heartbeat(experiment, 2) == "RECOVERING"


# --- nodes ---


def test_a_claim_is_the_right_to_finish(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 5.0
    claim = claimed(store, G0, experiment)
    clock.at = 9.0
    assert store.nodes_of(experiment)[G0].state == "RUNNING"
    assert store.finish_generation(claim, "by", "mlflow://a", "0" * 64) is True
    row = store.nodes_of(experiment)[G0]
    assert (row.state, row.owner, row.made_by) == ("SUCCEEDED", experiment, "by")
    assert (row.checkpoint_uri, row.weights_sha256) == ("mlflow://a", "0" * 64)
    assert (row.started_at, row.finished_at) == (5.0, 9.0)


def test_a_second_claim_takes_the_node_from_the_first(store: Store) -> None:
    experiment = running(store)
    first, second = claimed(store, G0, experiment), claimed(store, G0, experiment)
    assert second.fence > first.fence
    assert store.finish_generation(first, "old", "mlflow://old", "0" * 64) is False
    assert store.fail_node(first, Reason.OOM, "old") is False
    assert store.nodes_of(experiment)[G0].state == "RUNNING"
    assert store.finish_generation(second, "new", "mlflow://new", "1" * 64) is True
    assert store.finish_generation(first, "old", "mlflow://old", "0" * 64) is False
    assert store.nodes_of(experiment)[G0].checkpoint_uri == "mlflow://new"


def test_what_is_made_cannot_be_claimed_or_made_again(store: Store) -> None:
    first, second = running(store), running(store)
    claim = claimed(store, G0, first)
    store.finish_generation(claim, "by", "mlflow://a", "0" * 64)
    assert store.claim(G0, first) is None
    assert store.claim(G0, second) is None
    assert store.finish_generation(claim, "again", "mlflow://b", "1" * 64) is False
    assert store.fail_node(claim, Reason.OOM, "late") is False
    assert store.nodes_of(first)[G0].checkpoint_uri == "mlflow://a"


def test_a_node_that_does_not_exist_cannot_be_claimed(store: Store) -> None:
    assert store.claim("0" * 64, running(store)) is None


@pytest.mark.parametrize(
    "owner_state",
    [ExperimentState.STARTING, ExperimentState.RUNNING, ExperimentState.RECOVERING, ExperimentState.CANCELLING],
)
def test_what_a_live_experiment_makes_cannot_be_claimed_by_another(store: Store, owner_state: ExperimentState) -> None:
    owner, other = running(store), running(store)
    claim = claimed(store, G0, owner)
    store.move(owner, owner_state)
    assert state(store, owner) == owner_state
    assert store.claim(G0, other) is None
    assert store.claim(N1, other) is not None
    assert store.finish_generation(claim, "owner", "mlflow://a", "0" * 64) is True


@pytest.mark.parametrize("end", [ExperimentState.FAILED, ExperimentState.CANCELLED])
def test_what_a_dead_experiment_was_making_can_be_claimed(store: Store, end: ExperimentState) -> None:
    owner, other = running(store), running(store)
    lost = claimed(store, G0, owner)
    store.move(owner, end)
    claim = claimed(store, G0, other)
    assert store.finish_generation(lost, "owner", "mlflow://lost", "0" * 64) is False
    assert store.finish_generation(claim, "other", "mlflow://kept", "1" * 64) is True


def test_of_threads_that_claim_for_different_experiments_one_wins(store: Store) -> None:
    experiments = [running(store) for _ in range(8)]
    claims = at_once(8, lambda index: store.claim(G0, experiments[index]))
    assert sum(claim is not None for claim in claims) == 1


def test_threads_that_claim_for_one_experiment_get_different_fences(store: Store) -> None:
    experiment = running(store)
    claims = at_once(8, lambda _: claimed(store, G0, experiment))
    assert sorted(claim.fence for claim in claims) == list(range(1, 9))
    done = [claim.fence for claim in claims if store.finish_generation(claim, "by", "mlflow://a", "0" * 64)]
    assert done == [8]


def test_a_failed_node_says_why_until_it_is_claimed_again(store: Store) -> None:
    experiment = running(store)
    assert store.fail_node(claimed(store, G0, experiment), Reason.DIVERGED, "x" * 10_000) is True
    row = store.nodes_of(experiment)[G0]
    assert (row.state, row.reason, row.message) == ("FAILED", "DIVERGED", "x" * 4000)
    claimed(store, G0, experiment)
    row = store.nodes_of(experiment)[G0]
    assert (row.state, row.reason, row.message, row.finished_at) == ("RUNNING", None, None, None)


def test_release_gives_back_what_is_not_finished_and_fences_it_off(store: Store) -> None:
    experiment, other = running(store), running(store)
    done, unfinished = claimed(store, G0, experiment), claimed(store, N1, experiment)
    theirs = claimed(store, S1, other)
    store.finish_generation(done, "by", "mlflow://a", "0" * 64)
    store.release(experiment, [N1_ACCURACY, S1, G0])
    nodes = store.nodes_of(experiment)
    assert {key: nodes[key].state for key in (G0, N1, S1, N1_ACCURACY)} == {
        G0: "SUCCEEDED",
        N1: "QUEUED",
        S1: "RUNNING",
        N1_ACCURACY: "SKIPPED",
    }
    assert (nodes[N1].owner, nodes[N1_ACCURACY].reason) == (None, "DEPENDENCY")
    assert store.finish_generation(unfinished, "late", "mlflow://b", "1" * 64) is False
    assert store.finish_generation(theirs, "other", "mlflow://c", "2" * 64) is True


# --- what was measured ---


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
    """A driver writes rows as they come, and again from the history when it commits the checkpoint."""
    experiment = running(store)
    rows = [epoch_row(G0, epoch, at=float(epoch)) for epoch in range(5)]
    at_once(8, lambda _: store.add_epochs(rows))
    assert [row.epoch for row in store.epochs_of(experiment, "normal", 0)] == [0, 1, 2, 3, 4]


def test_epochs_come_per_row_of_the_comparison_from_an_id_on(store: Store) -> None:
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


def test_training_began_with_the_first_epoch_that_was_not_there_before(store: Store) -> None:
    first = running(store)
    store.add_epochs([epoch_row(G0, epoch, at=float(epoch)) for epoch in range(3)])
    store.finish_generation(claimed(store, G0, first), "by", "mlflow://a", "0" * 64)
    second = submitted(store)
    assert store.training_began(second) is None
    store.add_epochs([epoch_row(N1, 0, 1, at=500.0)])
    assert store.training_began(second) == 500.0


def test_warnings_are_found_by_row(store: Store) -> None:
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


def test_scores_of_every_float_come_back_as_they_are_and_a_missing_one_as_none(store: Store) -> None:
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


def test_a_score_that_is_nan_is_no_number_when_it_comes_back(store: Store) -> None:
    experiment = running(store)
    score = {"top1": {"value": math.nan, "n": 1, "low": None, "high": None}}
    store.finish_evaluation(claimed(store, N1_ACCURACY, experiment), "by", "accuracy", "digits", score, {})
    (row,) = store.results_of(experiment, "normal", 0)
    assert row.value is None or math.isnan(row.value)


def test_a_curve_with_nan_does_not_cost_the_scores(store: Store) -> None:
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


def test_what_is_said_about_an_evaluation_is_committed_with_its_scores(store: Store) -> None:
    experiment = running(store)
    score = {"top1": {"value": 0.5, "n": 1, "low": None, "high": None}}
    lost, held = claimed(store, N1_ACCURACY, experiment), claimed(store, N1_ACCURACY, experiment)
    assert store.finish_evaluation(lost, "by", "accuracy", "digits", score, {}, {"version": 1}) is False
    assert store.details_of(experiment) == {}
    assert store.finish_evaluation(held, "by", "accuracy", "digits", score, {}, ABOUT) is True
    assert store.finish_evaluation(held, "by", "accuracy", "digits", score, {}, {"version": 3}) is False
    assert store.details_of(experiment) == {N1_ACCURACY: ABOUT}
    assert store.details_of("exp_of_nobody") == {}


# --- where it was published ---


def test_runs_remember_what_was_shipped(store: Store) -> None:
    experiment = running(store)
    assert store.run(experiment, "seal", 0) is None
    store.add_run(experiment, "seal", 0, "run1")
    store.add_run(experiment, "normal", 0, "run2")
    store.shipped(experiment, "seal", 0, 17, 3)
    seal, normal = store.run(experiment, "seal", 0), store.run(experiment, "normal", 0)
    assert seal is not None
    assert normal is not None
    assert (seal.run_id, seal.shipped_epoch, seal.shipped_result) == ("run1", 17, 3)
    assert (normal.run_id, normal.shipped_epoch, normal.shipped_result) == ("run2", 0, 0)
    assert sorted(row.run_id for row in store.runs_of(experiment)) == ["run1", "run2"]


def test_a_run_of_an_experiment_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        store.add_run("exp_of_nobody", "seal", 0, "run")


def test_evaluations_that_overlap_are_stored_once(store: Store) -> None:
    accuracy = {"evaluator": {"name": "accuracy"}}
    raw = small(evaluations=[accuracy | {"on": ["every"]}, accuracy | {"on": ["last"]}])
    experiment = submitted(store, raw)
    assert sum(use.kind == "evaluation" for use in store.uses_of(experiment)) == 4


def test_the_largest_seed_fits(store: Store) -> None:
    experiment = submitted(store, small(seeds=[2**31]))
    assert {use.seed for use in store.uses_of(experiment)} == {2**31}


def test_two_stores_on_one_database_see_each_other(url: str, store: Store, clock: Clock) -> None:
    other = Store(url, now=clock)
    experiment = running(store)
    assert state(other, experiment) == "RUNNING"
    assert other.move(experiment, ExperimentState.CANCELLING)
    assert store.heartbeat(experiment, 1) == "CANCELLING"
    other.close()


def test_nodes_are_needed_by_others_until_those_have_ended(store: Store) -> None:
    mine, other = submitted(store), submitted(store)
    assert store.needed_by_others(mine) == set(planned(small()).nodes)
    store.cancel(other)
    assert store.needed_by_others(mine) == set()
