"""Objects for tests: an application with a fresh database, a fake cluster, and checks of answers."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.exceptions import StarletteDeprecationWarning

from api.app import create_app
from api.settings import ApiSettings
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.settings import Settings
from orchestrator.spec import Resources
from orchestrator.store import Store
from tests.orchestrator.builders import Jobs

with warnings.catch_warnings():
    # starlette recommends httpx2, which is not one of our dependencies
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

__all__ = ["SCORES", "FakeCluster", "TestClient", "database", "is_problem", "plan_of", "serving", "settings"]

SCORES = {("normal", 0): 0.5, ("seal", 0): 0.75}
"""Accuracies by arm and seed, for `scored`."""

ORIGIN = "http://127.0.0.1:8000"


def settings(home: Path, **changes: Any) -> ApiSettings:
    """Settings with which no experiment is started and no server listens at the addresses of Ray and MLflow."""
    service = Settings(
        home=home,
        database_url=f"sqlite:///{home / 'relearn.db'}",
        tracking_uri="http://127.0.0.1:1",
        ray_address="http://127.0.0.1:1",
        storage=home / "storage",
        max_running=0,
    )
    base = ApiSettings(service, None, ("127.0.0.1", "localhost", "[::1]"), {"mlflow": "http://mlflow"})
    return replace(base, **changes)


@contextmanager
def serving(configured: ApiSettings, jobs: Jobs | None = None) -> Iterator[TestClient]:
    """Yields a client of the running application; an exception that the application does not catch is raised."""
    with TestClient(create_app(configured, jobs or Jobs()), base_url=ORIGIN) as client:
        yield client


@contextmanager
def database(configured: ApiSettings) -> Iterator[Store]:
    """Yields the application's database, opened a second time."""
    store = Store(configured.service.database_url)
    yield store
    store.close()


def is_problem(answer: Any, status: int, code: str) -> bool:
    """Whether the answer is an RFC 9457 problem document with this status and code."""
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(document) - {"errors"} == {"type", "title", "status", "detail", "code", "instance"}
    assert document["status"] == answer.status_code
    return (answer.status_code, document["code"]) == (status, code)


class FakeCluster:
    """A cluster of two CPUs on which every timing run fails and returns the reason."""

    def __init__(self) -> None:
        self.requests: list[TimingRequest] = []

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": 2.0}]

    def time(self, asked: list[TimingRequest], resources: Resources) -> str:
        self.requests += asked
        return "the cluster had no capacity for it"


def plan_of(client: TestClient, raw: object, **query: Any) -> dict[str, Any]:
    """Returns the answer of POST /experiments/plan."""
    answer = client.post("/experiments/plan", json=raw, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
