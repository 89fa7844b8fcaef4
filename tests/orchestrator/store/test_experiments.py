"""Experiments in the store: lists, attempts, state transitions and heartbeats."""

import pytest

from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import Clock, submitted
from tests.orchestrator.store.builders import running, state


def test_experiments_are_listed_newest_first_by_state_and_limit(store: Store, clock: Clock) -> None:
    ids = []
    for clock.at in (10.0, 20.0, 30.0):
        ids.append(submitted(store))
    store.move(ids[1], ExperimentState.CANCELLED)
    assert [row.id for row in store.experiments()] == ids[::-1]
    assert [row.id for row in store.experiments(limit=2)] == [ids[2], ids[1]]
    assert [row.id for row in store.experiments([ExperimentState.QUEUED])] == [ids[2], ids[0]]
    assert [row.id for row in store.experiments([ExperimentState.CANCELLED, ExperimentState.FAILED])] == [ids[1]]
    assert store.experiments([]) == []


def test_an_id_that_a_database_rejects_is_not_found(store: Store) -> None:
    """The API looks up the experiment before everything else."""
    assert store.experiment("\x00") is None


@pytest.mark.parametrize("experiment", ["exp_of_nobody", "", "x" * 10_000, "é☃"])
def test_an_experiment_that_was_never_submitted_is_not_found(store: Store, experiment: str) -> None:
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
def test_a_cancellation_takes_precedence_over_every_other_state(store: Store, to: ExperimentState) -> None:
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


def test_a_move_clears_the_reason_and_message_of_the_state_before(store: Store) -> None:
    experiment = running(store)
    store.move(experiment, ExperimentState.RECOVERING, reason=Reason.WORKER_LOST, message="killed")
    store.move(experiment, ExperimentState.RUNNING)
    row = store.experiment(experiment)
    assert row is not None
    assert (row.reason, row.message, row.finished_at) == (None, None, None)


def test_a_heartbeat_returns_the_state_and_renews_the_lease(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 77.0
    assert store.heartbeat(experiment, 1) == "RUNNING"
    assert store.heartbeat(experiment, 1, message="waiting for MLflow") == "RUNNING"
    row = store.experiment(experiment)
    assert row is not None
    assert (row.alive_at, row.message) == (77.0, "waiting for MLflow")
    store.move(experiment, ExperimentState.CANCELLING)
    assert store.heartbeat(experiment, 1) == "CANCELLING"


def test_the_heartbeat_of_an_old_attempt_has_no_effect(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 100.0
    store.start_attempt(experiment, ExperimentState.RECOVERING)
    clock.at = 200.0
    assert store.heartbeat(experiment, 1, message="I am here") is None
    row = store.experiment(experiment)
    assert row is not None
    assert (row.alive_at, row.message) == (100.0, None)
    assert store.heartbeat(experiment, 2) == "RECOVERING"


def test_two_stores_on_one_database_see_each_other(url: str, store: Store, clock: Clock) -> None:
    other = Store(url, now=clock)
    experiment = running(store)
    assert state(other, experiment) == "RUNNING"
    assert other.move(experiment, ExperimentState.CANCELLING)
    assert store.heartbeat(experiment, 1) == "CANCELLING"
    other.close()
