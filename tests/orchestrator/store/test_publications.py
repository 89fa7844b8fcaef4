"""Tracking runs in the store."""

import pytest
import sqlalchemy as sa

from orchestrator.store import Store
from tests.orchestrator.store.builders import running


def test_runs_store_the_last_rows_that_were_sent(store: Store) -> None:
    experiment = running(store)
    assert store.run(experiment, "seal", 0) is None
    store.add_run(experiment, "seal", 0, "run1")
    store.add_run(experiment, "normal", 0, "run2")
    store.shipped(experiment, "seal", 0, 17, 3)
    seal, normal = store.run(experiment, "seal", 0), store.run(experiment, "normal", 0)
    assert seal is not None
    assert normal is not None
    assert (seal.run_id, seal.shipped_epoch, seal.shipped_result) == ("run1", 17, 3)
    assert (normal.run_id, normal.shipped_epoch, normal.shipped_result) == ("run2", 0, 0)
    assert sorted(row.run_id for row in store.runs_of(experiment)) == ["run1", "run2"]


def test_a_run_of_an_experiment_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        store.add_run("exp_of_nobody", "seal", 0, "run")
