from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import Store
from orchestrator.supervisor import Supervisor
from tests.orchestrator.builders import Clock, Jobs
from tests.orchestrator.supervisor.builders import NO_SERVER


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
    return Supervisor(
        store,
        jobs,
        NO_SERVER,
        max_running=1,
        now=clock,
    )
