"""Where experiments were published, and up to which row."""

import sqlalchemy as sa

from orchestrator.store.database import Database, read, read_one
from orchestrator.store.records import Run
from orchestrator.store.schema import runs


class Published(Database):
    """One run in the tracking server per row of the comparison."""

    def run(self, experiment: str, arm: str, seed: int) -> Run | None:
        with self._engine.connect() as connection:
            return read_one(connection, Run, sa.select(runs).where(*_row(experiment, arm, seed)))

    def add_run(self, experiment: str, arm: str, seed: int, run_id: str) -> None:
        row = {"experiment": experiment, "arm": arm, "seed": seed, "run_id": run_id}
        with self._writing.begin() as connection:
            connection.execute(sa.insert(runs), row)

    def runs_of(self, experiment: str) -> list[Run]:
        with self._engine.connect() as connection:
            return read(connection, Run, sa.select(runs).where(runs.c.experiment == experiment))

    def shipped(self, experiment: str, arm: str, seed: int, epoch: int, result: int) -> None:
        """Remembers that everything up to these row ids is in the tracking server."""
        update = sa.update(runs).where(*_row(experiment, arm, seed)).values(shipped_epoch=epoch, shipped_result=result)
        with self._writing.begin() as connection:
            connection.execute(update)


def _row(experiment: str, arm: str, seed: int) -> tuple[sa.ColumnElement[bool], ...]:
    return runs.c.experiment == experiment, runs.c.arm == arm, runs.c.seed == seed
