"""Objects for the tests of the store: the nodes of a small plan, running experiments, and concurrent threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import node, planned, small, submitted

PLAN = planned(small())
G0, N1, S1 = (node(PLAN, arm, generation).key for arm, generation in (("normal", 0), ("normal", 1), ("seal", 1)))
N1_ACCURACY = node(PLAN, "normal", 1, "evaluation").key


def state(store: Store, experiment: str) -> str:
    """Returns the state of an experiment."""
    row = store.experiment(experiment)
    assert row is not None
    return str(row.state)


def running(store: Store) -> str:
    """Returns the id of an experiment in its first attempt."""
    experiment = submitted(store)
    store.start_attempt(experiment, ExperimentState.STARTING)
    assert store.move(experiment, ExperimentState.RUNNING, attempt=1)
    return experiment


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Calls `work` in `count` threads that start together; returns the results, or raises the first error."""
    barrier = threading.Barrier(count)

    def run(index: int) -> Any:
        barrier.wait(timeout=30)
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
