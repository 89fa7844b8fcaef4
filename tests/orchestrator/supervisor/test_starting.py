"""Experiments start in order, as many at a time as are allowed."""

import pytest

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.supervisor import Supervisor
from tests.orchestrator.builders import Clock, Jobs, submitted
from tests.orchestrator.supervisor.builders import NO_SERVER, started, where


def test_without_experiments_nothing_is_submitted(supervisor: Supervisor, jobs: Jobs) -> None:
    supervisor.tick()
    assert jobs.submitted == []


def test_a_queued_experiment_is_started_once(store: Store, supervisor: Supervisor, jobs: Jobs) -> None:
    experiment = submitted(store)
    supervisor.tick()
    assert where(store, experiment) == ("STARTING", 1)
    supervisor.tick()
    assert where(store, experiment) == ("STARTING", 1)
    assert jobs.submitted == [(experiment, 1)]


def test_experiments_start_in_the_order_in_which_they_were_posted(store: Store, jobs: Jobs, clock: Clock) -> None:
    supervisor = Supervisor(
        store,
        jobs,
        NO_SERVER,
        max_running=2,
        now=clock,
    )
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


def test_a_cancelled_experiment_in_the_queue_is_skipped(
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
def test_no_other_experiment_starts_before_a_live_one_has_ended(
    store: Store, supervisor: Supervisor, jobs: Jobs, state: ExperimentState
) -> None:
    experiment = started(store, supervisor)
    store.move(experiment, state)
    waiting = submitted(store)
    supervisor.tick()
    assert where(store, waiting) == ("QUEUED", 0)
    assert jobs.submitted == [(experiment, 1)]
