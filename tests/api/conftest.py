"""Fixtures of the tests of the API and of the command line."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.settings import ApiSettings
from tests.api.builders import SCORES, TestClient, database, serving, settings
from tests.orchestrator.builders import Jobs
from tests.orchestrator.report.builders import scored


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test runs in an empty folder, and no variable names a server, a home folder or prepared data."""
    for name in ("RELEARN_URL", "RELEARN_TOKEN", "RELEARN_HOME", "RELEARN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def dead_url() -> Iterator[str]:
    """The URL of a port on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def configured(tmp_path: Path) -> ApiSettings:
    """The settings of an application with a fresh database."""
    return settings(tmp_path / "home")


@pytest.fixture
def jobs() -> Jobs:
    """The executor of the application, which runs nothing."""
    return Jobs()


@pytest.fixture
def client(configured: ApiSettings, jobs: Jobs) -> Iterator[TestClient]:
    """A client of the running application."""
    with serving(configured, jobs) as client:
        yield client


@pytest.fixture
def experiment(client: TestClient, configured: ApiSettings) -> str:
    """The id of an experiment of two arms with an accuracy each."""
    with database(configured) as store:
        return scored(store, SCORES)


@pytest.fixture
def connected(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client of the application, to which the Python client and the command line are connected too."""
    real = httpx.Client
    monkeypatch.setattr("httpx.Client", lambda **_: real(transport=client._transport, base_url=client.base_url))
    return client
