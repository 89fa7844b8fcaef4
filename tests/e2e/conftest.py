"""The real Ray, MLflow and API, started once for the suite on free ports and ended by pid."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.client import Client
from api.local import Stack
from orchestrator.store import Store


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("relearn"), cpus=2)
    try:
        running.start()
        running.wait_for_mlflow()
        yield running
    finally:
        running.stop()
    left = [line for line in processes() if any(str(pid) == line.split()[1] for pid in running.pids().values())]
    assert left == []


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.links["api"]) as opened:
        yield opened


@pytest.fixture(scope="session")
def store(stack: Stack) -> Iterator[Store]:
    """The server's own database, to look behind the API."""
    opened = Store(f"sqlite:///{stack.home / 'relearn.db'}")
    yield opened
    opened.close()


def processes() -> list[str]:
    """`pid ppid args` of every process."""
    return subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def children_named(stack: Stack, name: str) -> list[int]:
    """Processes below our own Ray whose title contains `name`."""
    table = {int(line.split()[0]): (int(line.split()[1]), line) for line in processes()}
    mine = stack.pids()["ray"]

    def below(pid: int) -> bool:
        while pid in table and pid != mine:
            pid = table[pid][0]
        return pid == mine

    return [pid for pid, (_, line) in table.items() if name in line and pid != os.getpid() and below(pid)]


def tail(path: Path) -> str:
    return path.read_text(errors="replace")[-3000:]
