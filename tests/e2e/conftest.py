"""Starts the real Ray, MLflow and API once for the suite, on free ports, and stops them afterwards."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from api.cli.stack import Stack
from api.client import Client
from orchestrator.store import Store
from tests.e2e.experiments import end, spec
from tests.e2e.processes import below, left


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running services of the suite."""
    running = Stack(tmp_path_factory.mktemp("relearn"), cpus=2)
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("RELEARN_MAX_RUNNING", "2")  # for the tests of experiments that overlap in flight
            running.start()
        running.wait_for_mlflow()
        yield running
    finally:
        started = {pid for part in running.pids().values() for pid in below(part)}
        running.stop()
    while left(started):  # init collects killed processes a little later; only the suite's timeout limits the wait
        time.sleep(0.1)


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Client]:
    """A client of the suite's API."""
    with Client(stack.links["api"]) as opened:
        yield opened


@pytest.fixture(scope="session")
def store(stack: Stack) -> Iterator[Store]:
    """The server's own database, to check what the API does not show."""
    opened = Store(f"sqlite:///{stack.home / 'relearn.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def first_experiment(client: Client) -> dict[str, Any]:
    """The answer to the submission of the small spec, with the experiment's last view. Tests must not change it."""
    posted = client.submit(spec())
    return posted | {"view": end(client, posted["id"])}
