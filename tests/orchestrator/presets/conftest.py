"""An empty database and no prepared data.

`test_presets.py` covers the package itself, `test_compose.py`, `test_open_settings.py` and `test_twins.py` its modules;
`test_epochs.py` and `test_tables.py` cover the JSON files in `paper`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('presets') / 'relearn.db'}")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "nothing"))
