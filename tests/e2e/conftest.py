"""Starts the real Ray, MLflow and API once for the suite, on free ports, and stops them."""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from api.cli.stack import Stack
from api.client import Client
from orchestrator.store import Store


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
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
    while left(started):  # killed, but not collected by init yet; the suite's timeout is the limit
        time.sleep(0.1)


def left(started: set[int]) -> list[str]:
    """Returns the processes of `started` that still run; a process that init has not collected yet does not."""
    return [line for line in processes() if int(line.split()[0]) in started and "<defunct>" not in line]


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.links["api"]) as opened:
        yield opened


@pytest.fixture(scope="session")
def store(stack: Stack) -> Iterator[Store]:
    """The server's own database, to check what the API does not show."""
    opened = Store(f"sqlite:///{stack.home / 'relearn.db'}")
    yield opened
    opened.close()


def processes() -> list[str]:
    """Returns `pid ppid args` of every process."""
    return subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def below(top: int) -> list[int]:
    """Returns `top` and its descendants."""
    parents = {int(line.split()[0]): int(line.split()[1]) for line in processes()}

    def is_below(pid: int) -> bool:
        while pid in parents and pid != top:
            pid = parents[pid]
        return pid == top

    return [pid for pid in parents if is_below(pid)]


def children_named(stack: Stack, name: str) -> list[int]:
    """Returns the descendants of the suite's own Ray whose title contains `name`."""
    titles = {int(line.split()[0]): line for line in processes()}
    return [pid for pid in below(stack.pids()["ray"]) if name in titles.get(pid, "") and pid != os.getpid()]
