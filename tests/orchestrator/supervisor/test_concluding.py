"""The publication of ended experiments, and the threads of the supervisor."""

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.supervisor import Supervisor
from tests.orchestrator.builders import Clock, Jobs, planned, resolved, small, submitted


def test_without_a_tracking_server_experiments_start_and_are_published_later(
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
    """This happens after an upgrade that validates specs more strictly."""
    old = store.submit("old", {**resolved(small()), "seeds": []}, planned(small()))[0]
    store.move(old, ExperimentState.CANCELLED)
    clock.at += 1
    waiting = submitted(store)
    supervisor.tick()
    supervisor.tick()
    assert jobs.submitted == [(waiting, 1)]


def test_it_is_alive_from_start_to_end(supervisor: Supervisor) -> None:
    alive = [supervisor.alive]
    supervisor.start()
    alive.append(supervisor.alive)
    supervisor.wake()
    supervisor.end()
    alive.append(supervisor.alive)
    assert alive == [False, True, False]
