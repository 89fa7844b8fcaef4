"""Experiments for the tests of the supervisor, and their rows."""

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from orchestrator.supervisor import Supervisor
from tests.orchestrator.builders import node, planned, small, submitted

G0 = node(planned(small()), "normal", 0).key
NO_SERVER = "http://127.0.0.1:1"
"""The address of a tracking server at which nothing listens."""


def row(store: Store, experiment: str) -> Experiment:
    """Returns the row of an experiment."""
    found = store.experiment(experiment)
    assert found is not None
    return found


def where(store: Store, experiment: str) -> tuple[str, int]:
    """Returns the state and the attempt of an experiment."""
    return row(store, experiment).state, row(store, experiment).attempt


def started(store: Store, supervisor: Supervisor) -> str:
    """Returns the id of an experiment whose first attempt runs.

    It is marked as published, so that its end does not contact the tracking server.
    """
    experiment = submitted(store)
    store.set_published(experiment)
    supervisor.tick()
    assert store.move(experiment, ExperimentState.RUNNING, attempt=1)
    return experiment
