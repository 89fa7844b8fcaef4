"""Attempts that end without an outcome, and clusters that do not answer."""

import pytest

from orchestrator.cluster.jobs import JobState
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.supervisor import LEASE_S, MAX_ATTEMPTS, Supervisor
from tests.orchestrator.builders import Clock, Jobs, claimed, submitted
from tests.orchestrator.supervisor.builders import G0, NO_SERVER, row, started, where


def test_a_running_job_is_not_stopped_without_heartbeats(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    experiment = started(store, supervisor)
    clock.at += 100 * LEASE_S
    supervisor.tick()
    assert where(store, experiment) == ("RUNNING", 1)
    assert (jobs.submitted, jobs.stopped) == ([(experiment, 1)], [])


def test_a_job_that_ended_without_an_outcome_is_tried_again(store: Store, supervisor: Supervisor, jobs: Jobs) -> None:
    experiment = started(store, supervisor)
    lost = claimed(store, G0, experiment)
    jobs.end(experiment, 1)
    supervisor.tick()
    assert where(store, experiment) == ("RECOVERING", 2)
    assert jobs.submitted == [(experiment, 1), (experiment, 2)]
    assert store.nodes_of(experiment)[G0].state == "QUEUED"
    assert store.finish_generation(lost, "late", "mlflow://late", "0" * 64) is False
    assert store.heartbeat(experiment, 1) is None
    supervisor.tick()
    assert where(store, experiment) == ("RECOVERING", 2)


def test_a_job_that_ended_before_its_driver_reported_is_tried_again(
    store: Store, supervisor: Supervisor, jobs: Jobs
) -> None:
    experiment = submitted(store)
    supervisor.tick()
    jobs.end(experiment, 1)
    supervisor.tick()
    assert where(store, experiment) == ("RECOVERING", 2)


def test_a_job_that_ray_forgot_continues_while_its_driver_sends_heartbeats(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    experiment = started(store, supervisor)
    claim = claimed(store, G0, experiment)
    jobs.forget()
    for _ in range(5):
        clock.at += LEASE_S
        assert store.heartbeat(experiment, 1) == "RUNNING"
        supervisor.tick()
        clock.at += LEASE_S
        supervisor.tick()
        assert where(store, experiment) == ("RUNNING", 1)
    assert jobs.submitted == [(experiment, 1)]
    assert store.finish_generation(claim, "by", "mlflow://a", "0" * 64) is True


def test_a_job_that_ray_forgot_is_tried_again_without_heartbeats(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    experiment = started(store, supervisor)
    claim = claimed(store, G0, experiment)
    jobs.forget()
    clock.at += LEASE_S
    supervisor.tick()
    assert where(store, experiment) == ("RUNNING", 1)
    clock.at += 0.1
    supervisor.tick()
    assert where(store, experiment) == ("RECOVERING", 2)
    assert jobs.submitted[-1] == (experiment, 2)
    assert store.finish_generation(claim, "late", "mlflow://late", "0" * 64) is False


def test_an_unreachable_cluster_changes_nothing(store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock) -> None:
    experiment = started(store, supervisor)
    clock.at += 100 * LEASE_S
    jobs.reachable = False
    before = row(store, experiment)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            supervisor.tick()
    assert row(store, experiment) == before
    jobs.reachable = True
    supervisor.tick()
    assert where(store, experiment) == ("RUNNING", 1)


def test_a_start_that_did_not_arrive_is_sent_again_as_the_same_attempt(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    experiment = submitted(store)
    jobs.accepts = False
    for _ in range(3):
        with pytest.raises(ConnectionError):
            supervisor.tick()
        clock.at += 2 * LEASE_S
    assert where(store, experiment) == ("STARTING", 1)
    jobs.accepts = True
    supervisor.tick()
    assert jobs.submitted == [(experiment, 1)]
    assert where(store, experiment) == ("STARTING", 1)


def test_a_recovery_that_did_not_arrive_is_sent_again_as_the_same_attempt(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    """An outage of the cluster does not count as a failed attempt of the experiment."""
    experiment = started(store, supervisor)
    jobs.end(experiment, 1)
    jobs.accepts = False
    with pytest.raises(ConnectionError):
        supervisor.tick()
    assert where(store, experiment) == ("RECOVERING", 2)
    clock.at += 2 * LEASE_S
    jobs.accepts = True
    supervisor.tick()
    assert jobs.submitted == [(experiment, 1), (experiment, 2)]
    assert where(store, experiment) == ("RECOVERING", 2)


def test_after_the_last_attempt_the_experiment_fails_with_a_reason(
    store: Store, supervisor: Supervisor, jobs: Jobs
) -> None:
    experiment = started(store, supervisor)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert where(store, experiment)[1] == attempt
        claimed(store, G0, experiment)
        jobs.end(experiment, attempt)
        supervisor.tick()
    ended = row(store, experiment)
    assert (ended.state, ended.attempt, ended.reason) == ("FAILED", 5, "WORKER_LOST")
    assert ended.message == "5 attempts ended without an outcome; the last: FAILED: the driver was killed"
    assert store.nodes_of(experiment)[G0].state == "QUEUED"
    supervisor.tick()
    assert jobs.submitted == [(experiment, attempt) for attempt in range(1, 6)]


@pytest.mark.parametrize("outcome", [ExperimentState.SUCCEEDED, ExperimentState.FAILED])
def test_an_outcome_that_the_driver_records_while_ray_is_asked_is_kept(
    store: Store, clock: Clock, outcome: ExperimentState
) -> None:
    class Racing(Jobs):
        """The driver records its outcome and ends after the database was read and before Ray answers."""

        def state(self, experiment: str, attempt: int) -> JobState:
            if store.move(
                experiment,
                outcome,
                attempt=attempt,
                reason=Reason.DIVERGED if outcome == ExperimentState.FAILED else None,
            ):
                self.end(experiment, attempt)
            return super().state(experiment, attempt)

    jobs = Racing()
    supervisor = Supervisor(
        store,
        jobs,
        NO_SERVER,
        max_running=1,
        now=clock,
    )
    experiment = started(store, supervisor)
    supervisor.tick()
    assert where(store, experiment) == (outcome, 1)
    supervisor.tick()
    assert where(store, experiment) == (outcome, 1)
    assert jobs.submitted == [(experiment, 1)]
