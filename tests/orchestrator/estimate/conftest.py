import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "nothing"))
    found = Store(f"sqlite:///{tmp_path / 'relearn.db'}", itertools.count(1_000_000.0).__next__)
    yield found
    found.close()
