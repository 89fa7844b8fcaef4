"""The application on a fresh database with nothing behind it, which tests share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.exceptions import StarletteDeprecationWarning

from api.app import create_app
from api.settings import ApiSettings
from orchestrator.settings import Settings
from orchestrator.store import Store
from tests.orchestrator.builders import Jobs

with warnings.catch_warnings():
    # starlette would rather have httpx2, which is not among our dependencies
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

__all__ = ["TestClient", "database", "is_problem", "serving", "settings"]

ORIGIN = "http://127.0.0.1:8000"


def settings(home: Path, **changes: Any) -> ApiSettings:
    """Nothing starts by itself (no experiment may run), and nothing listens at the addresses."""
    service = Settings(
        home=home,
        database_url=f"sqlite:///{home / 'relearn.db'}",
        tracking_uri="http://127.0.0.1:1",
        ray_address="http://127.0.0.1:1",
        storage=home / "storage",
        max_running=0,
    )
    return replace(
        ApiSettings(service, None, ("127.0.0.1", "localhost", "[::1]"), {"mlflow": "http://mlflow"}), **changes
    )


@contextmanager
def serving(configured: ApiSettings, jobs: Jobs | None = None) -> Iterator[TestClient]:
    """A client of the running application; what the application fails to catch is raised."""
    with TestClient(create_app(configured, jobs or Jobs()), base_url=ORIGIN) as client:
        yield client


@contextmanager
def database(configured: ApiSettings) -> Iterator[Store]:
    """The application's database, opened a second time."""
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
