"""Cancelled experiments."""

import pytest

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.supervisor import LEASE_S, Supervisor
from tests.orchestrator.builders import Clock, Jobs, claimed, submitted
from tests.orchestrator.supervisor.builders import G0, row, started, where


def test_a_running_experiment_is_stopped_and_is_cancelled_when_its_job_ended(
    store: Store, supervisor: Supervisor, jobs: Jobs
) -> None:
    experiment = started(store, supervisor)
    claimed(store, G0, experiment)
    store.move(experiment, ExperimentState.CANCELLING)
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLING", 1)
    assert jobs.stopped == [(experiment, 1)]
    jobs.end(experiment, 1)
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLED", 1)
    assert row(store, experiment).finished_at is not None
    assert store.nodes_of(experiment)[G0].state == "QUEUED"
    supervisor.tick()
    assert jobs.submitted == [(experiment, 1)]


def test_a_cancelled_start_is_stopped_too(store: Store, supervisor: Supervisor, jobs: Jobs) -> None:
    experiment = submitted(store)
    store.set_published(experiment)
    supervisor.tick()
    store.move(experiment, ExperimentState.CANCELLING)
    supervisor.tick()
    assert jobs.stopped == [(experiment, 1)]
    jobs.end(experiment, 1)
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLED", 1)


def test_a_cancelled_start_that_never_arrived_is_not_sent_again(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    experiment = submitted(store)
    store.set_published(experiment)
    jobs.accepts = False
    with pytest.raises(ConnectionError):
        supervisor.tick()
    store.move(experiment, ExperimentState.CANCELLING)
    jobs.accepts = True
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLING", 1)
    clock.at += LEASE_S + 1
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLED", 1)
    assert jobs.submitted == []


def test_a_cancelled_job_that_ray_forgot_is_cancelled_when_its_driver_sends_no_heartbeats(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    experiment = started(store, supervisor)
    store.move(experiment, ExperimentState.CANCELLING)
    jobs.forget()
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLING", 1)
    clock.at += LEASE_S + 1
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLED", 1)


def test_a_job_that_succeeds_although_it_was_cancelled_is_cancelled(
    store: Store, supervisor: Supervisor, jobs: Jobs
) -> None:
    experiment = started(store, supervisor)
    store.move(experiment, ExperimentState.CANCELLING)
    assert store.move(experiment, ExperimentState.SUCCEEDED, attempt=1) is False
    jobs.end(experiment, 1)
    supervisor.tick()
    assert where(store, experiment) == ("CANCELLED", 1)
