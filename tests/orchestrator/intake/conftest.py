"""Fixtures of a store and of an experiment in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.orchestrator.builders import claimed, planned, small, submitted
from tests.orchestrator.intake.builders import HASH


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}")
    yield store
    store.close()


@pytest.fixture
def done(store: Store) -> str:
    """The id of the small experiment with seeds 0 and 1. The generations of seed 0 are committed."""
    raw = small(seeds=[0, 1])
    experiment = submitted(store, raw)
    for key, each in planned(raw).nodes.items():
        if each.kind == "generation" and each.seed == 0:
            store.finish_generation(claimed(store, key, experiment), "by", f"mlflow://{key}", HASH)
    return experiment
