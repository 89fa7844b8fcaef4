"""Publications: the tracking run of each arm and seed, and the last rows that were sent to it."""

import sqlalchemy as sa

from orchestrator.store.database import Database, read, read_one
from orchestrator.store.records import Run
from orchestrator.store.schema import runs


class Publications(Database):
    """Reads and writes the tracking runs. Each arm and seed of an experiment has one run."""

    def run(self, experiment: str, arm: str, seed: int) -> Run | None:
        """Returns the run of an arm and seed, or None if it has none yet."""
        with self._engine.connect() as connection:
            return read_one(connection, Run, sa.select(runs).where(*_row(experiment, arm, seed)))

    def add_run(self, experiment: str, arm: str, seed: int, run_id: str) -> None:
        """Stores the id of the run of an arm and seed."""
        row = {"experiment": experiment, "arm": arm, "seed": seed, "run_id": run_id}
        with self._writing.begin() as connection:
            connection.execute(sa.insert(runs), row)

    def runs_of(self, experiment: str) -> list[Run]:
        """Returns all runs of the experiment."""
        with self._engine.connect() as connection:
            return read(connection, Run, sa.select(runs).where(runs.c.experiment == experiment))

    def shipped(self, experiment: str, arm: str, seed: int, epoch: int, result: int) -> None:
        """Records that the run has all epoch and result rows up to these row ids."""
        update = sa.update(runs).where(*_row(experiment, arm, seed)).values(shipped_epoch=epoch, shipped_result=result)
        with self._writing.begin() as connection:
            connection.execute(update)


def _row(experiment: str, arm: str, seed: int) -> tuple[sa.ColumnElement[bool], ...]:
    return runs.c.experiment == experiment, runs.c.arm == arm, runs.c.seed == seed
