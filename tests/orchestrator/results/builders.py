"""The small plan, its nodes, and the rows and capsules of its experiments."""

from orchestrator.results.capsule import Capsule, capsule_of
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from tests.orchestrator.builders import node, planned, small, submitted

PLAN = planned(small())
G0, N1, S1 = (node(PLAN, arm, generation).key for arm, generation in (("normal", 0), ("normal", 1), ("seal", 1)))
N1_ACCURACY, S1_ACCURACY = (node(PLAN, arm, 1, "evaluation").key for arm in ("normal", "seal"))
HASH = "0" * 64


def capsule(store: Store, experiment: str) -> Capsule:
    """Returns the capsule of an experiment at a fixed time."""
    return capsule_of(store, row(store, experiment), 1_764_000_100.0)


def row(store: Store, experiment: str) -> Experiment:
    """Returns the row of an experiment."""
    found = store.experiment(experiment)
    assert found is not None
    return found


def running(store: Store) -> str:
    """Returns the id of a new experiment that runs."""
    experiment = submitted(store)
    store.start_attempt(experiment, ExperimentState.RUNNING)
    return experiment
