"""An empty database with a clock that stands still.

`test_figures.py` covers `figures/` and `lines.py`, `test_formats.py` covers `formats/` and `model.py`, `test_build.py`
covers `notes.py`, `provenance.py` and the package itself, and `test_layouts.py` covers `source.py` too.
"""

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
