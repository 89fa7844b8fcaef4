"""A fresh database whose clock stands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.orchestrator.builders import Clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock())
    yield store
    store.close()
