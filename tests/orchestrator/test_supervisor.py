from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cluster.jobs import JobState
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from orchestrator.supervisor import LEASE_S, MAX_ATTEMPTS, Supervisor
from tests.orchestrator.builders import Clock, Jobs, claimed, node, planned, resolved, small, submitted

G0 = node(planned(small()), "normal", 0).key
NOBODY = "http://127.0.0.1:1"
"""A tracking server's address at which nothing listens."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=clock)
    yield store
    store.close()


@pytest.fixture
def supervisor(store: Store, jobs: Jobs, clock: Clock) -> Supervisor:
    return Supervisor(store, jobs, NOBODY, max_running=1, now=clock)


def row(store: Store, experiment: str) -> Experiment:
    found = store.experiment(experiment)
    assert found is not None
    return found


def where(store: Store, experiment: str) -> tuple[str, int]:
    """(state, attempt)"""
    return row(store, experiment).state, row(store, experiment).attempt


def started(store: Store, supervisor: Supervisor) -> str:
    """An experiment whose first attempt says that it runs; marked as published, so that its end asks no tracking server."""
    experiment = submitted(store)
    store.set_published(experiment)
    supervisor.tick()
    assert store.move(experiment, ExperimentState.RUNNING, attempt=1)
    return experiment


# --- starting ---


def test_nothing_to_do_is_nothing_done(supervisor: Supervisor, jobs: Jobs) -> None:
    supervisor.tick()
    assert jobs.submitted == []


def test_a_queued_experiment_is_started_once(store: Store, supervisor: Supervisor, jobs: Jobs) -> None:
    experiment = submitted(store)
    supervisor.tick()
    assert where(store, experiment) == ("STARTING", 1)
    supervisor.tick()
    assert where(store, experiment) == ("STARTING", 1)
    assert jobs.submitted == [(experiment, 1)]


def test_experiments_start_in_the_order_they_came_as_places_get_free(store: Store, jobs: Jobs, clock: Clock) -> None:
    supervisor = Supervisor(store, jobs, NOBODY, max_running=2, now=clock)
    ids = []
    for _ in range(4):
        ids.append(submitted(store))
        store.set_published(ids[-1])
        clock.at += 1
    supervisor.tick()
    assert jobs.submitted == [(ids[0], 1), (ids[1], 1)]
    assert [where(store, each)[0] for each in ids] == ["STARTING", "STARTING", "QUEUED", "QUEUED"]
    store.move(ids[1], ExperimentState.RUNNING, attempt=1)
    store.move(ids[1], ExperimentState.SUCCEEDED, attempt=1)
    supervisor.tick()
    assert jobs.submitted[2:] == [(ids[2], 1)]
    assert where(store, ids[3]) == ("QUEUED", 0)


def test_a_cancelled_experiment_in_the_queue_gives_its_place_to_the_next(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    first = submitted(store)
    clock.at += 1
    second = submitted(store)
    store.set_published(first)
    store.move(first, ExperimentState.CANCELLED)
    supervisor.tick()
    assert jobs.submitted == [(second, 1)]
    assert where(store, first) == ("CANCELLED", 0)


@pytest.mark.parametrize(
    "state", [ExperimentState.STARTING, ExperimentState.RUNNING, ExperimentState.RECOVERING, ExperimentState.CANCELLING]
)
def test_an_experiment_that_is_not_over_keeps_its_place(
    store: Store, supervisor: Supervisor, jobs: Jobs, state: ExperimentState
) -> None:
    experiment = started(store, supervisor)
    store.move(experiment, state)
    waiting = submitted(store)
    supervisor.tick()
    assert where(store, waiting) == ("QUEUED", 0)
    assert jobs.submitted == [(experiment, 1)]


# --- attempts that end ---


def test_a_job_that_runs_is_left_alone_however_silent(
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


def test_a_job_that_ended_before_its_driver_spoke_is_tried_again(
    store: Store, supervisor: Supervisor, jobs: Jobs
) -> None:
    experiment = submitted(store)
    supervisor.tick()
    jobs.end(experiment, 1)
    supervisor.tick()
    assert where(store, experiment) == ("RECOVERING", 2)


def test_a_job_that_ray_forgot_goes_on_while_its_driver_speaks(
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


def test_a_job_that_ray_forgot_and_that_is_silent_is_tried_again(
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
    """An outage of the cluster is no failure of the experiment and uses up none of its attempts."""
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


def test_after_the_last_attempt_the_experiment_has_failed_and_says_why(
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
def test_an_outcome_that_the_driver_records_while_ray_is_asked_stands(
    store: Store, clock: Clock, outcome: ExperimentState
) -> None:
    class Racing(Jobs):
        """The driver records its outcome and ends between our reading the database and Ray's answer."""

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
    supervisor = Supervisor(store, jobs, NOBODY, max_running=1, now=clock)
    experiment = started(store, supervisor)
    supervisor.tick()
    assert where(store, experiment) == (outcome, 1)
    supervisor.tick()
    assert where(store, experiment) == (outcome, 1)
    assert jobs.submitted == [(experiment, 1)]


# --- cancelling ---


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


def test_a_cancelled_job_that_ray_forgot_is_cancelled_once_its_driver_is_silent(
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


# --- concluding ---


def test_without_a_tracking_server_the_work_goes_on_and_the_end_is_published_later(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    ended = submitted(store)
    store.move(ended, ExperimentState.CANCELLED)
    clock.at += 1
    waiting = submitted(store)
    supervisor.tick()
    supervisor.tick()
    assert jobs.submitted == [(waiting, 1)]
    assert [each.id for each in store.unpublished()] == [ended]


def test_an_experiment_whose_spec_is_no_longer_valid_does_not_stop_the_others(
    store: Store, supervisor: Supervisor, jobs: Jobs, clock: Clock
) -> None:
    """As after an upgrade that asks more of a spec."""
    old = store.submit("old", {**resolved(small()), "seeds": []}, planned(small()))[0]
    store.move(old, ExperimentState.CANCELLED)
    clock.at += 1
    waiting = submitted(store)
    supervisor.tick()
    supervisor.tick()
    assert jobs.submitted == [(waiting, 1)]


def test_it_ends_when_told_and_says_whether_it_is_alive(supervisor: Supervisor) -> None:
    told = [supervisor.alive]
    supervisor.start()
    told.append(supervisor.alive)
    supervisor.wake()
    supervisor.end()
    told.append(supervisor.alive)
    assert told == [False, True, False]
