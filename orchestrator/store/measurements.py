"""Measurements: epochs, results, curves, and the details of evaluations."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.database import Database, columns, finite, read
from orchestrator.store.records import EpochRow, ResultRow, WarningRow
from orchestrator.store.schema import curves, epochs, nodes, results, uses

_Row = TypeVar("_Row", EpochRow, ResultRow)


class Measurements(Database):
    """Adds and reads measurements. A row that was written never changes."""

    def add_epochs(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds epoch rows. A row that exists keeps its values and time, so adding an epoch again changes nothing.

        Metrics that are not finite are left out, because neither JSON nor the tracking server accepts them.
        """
        insert = (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(epochs)
        with self._writing.begin() as connection:
            for row in rows:
                metrics = {name: value for name, value in finite(row["metrics"]).items() if value is not None}
                connection.execute(insert.on_conflict_do_nothing(), {**row, "metrics": metrics})

    def epochs_of(self, experiment: str, arm: str, seed: int, after: int = 0) -> list[EpochRow]:
        """Returns the epoch rows of an arm and seed with an id above `after`, in the order they were written."""
        return self._rows_of(EpochRow, epochs, experiment, arm, seed, after)

    def results_of(self, experiment: str, arm: str, seed: int, after: int = 0) -> list[ResultRow]:
        """Returns the result rows of an arm and seed with an id above `after`, in the order they were written."""
        return self._rows_of(ResultRow, results, experiment, arm, seed, after)

    def details_of(self, experiment: str) -> dict[str, dict[str, Any]]:
        """Maps the key of each evaluation of the experiment to its details, if they were stored."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(nodes.c.key, nodes.c.details).where(nodes.c.key.in_(mine), nodes.c.details.is_not(None))
        with self._engine.connect() as connection:
            return {row.key: row.details for row in connection.execute(query)}

    def curves_of(self, experiment: str, like: Iterable[str]) -> dict[str, dict[str, list[float | None]]]:
        """Maps the key of each node to its curves whose names match one of the SQL LIKE patterns (`%/episodes`)."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        alike = sa.or_(*(curves.c.name.like(each) for each in like))
        query = sa.select(curves.c.key, curves.c.name, curves.c["values"]).where(curves.c.key.in_(mine), alike)
        found: dict[str, dict[str, list[float | None]]] = {}
        with self._engine.connect() as connection:
            for key, name, values in connection.execute(query):
                found.setdefault(key, {})[name] = values
        return found

    def scores_of(self, experiment: str, metric: str) -> dict[str, float | None]:
        """Maps the key of each evaluation with the score `metric` to its value, or to None if that was not finite."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(results.c.key, results.c.value).where(results.c.key.in_(mine), results.c.metric == metric)
        with self._engine.connect() as connection:
            return {row.key: row.value for row in connection.execute(query)}

    def latest_epochs(self, experiment: str) -> dict[str, EpochRow]:
        """Maps the key of each generation that has begun to its last epoch row."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        last = sa.select(epochs.c.key, sa.func.max(epochs.c.epoch).label("epoch")).where(epochs.c.key.in_(mine))
        newest = last.group_by(epochs.c.key).subquery()
        query = sa.select(*columns(EpochRow, epochs)).join(
            newest, (epochs.c.key == newest.c.key) & (epochs.c.epoch == newest.c.epoch)
        )
        with self._engine.connect() as connection:
            return {row.key: row for row in read(connection, EpochRow, query)}

    def training_began(self, experiment: str) -> float | None:
        """Returns when the first epoch that was not cached ended, in seconds since the epoch, or None if none has."""
        own = sa.select(uses.c.key).where(uses.c.experiment == experiment, ~uses.c.cached)
        with self._engine.connect() as connection:
            began: float | None = connection.scalar(sa.select(sa.func.min(epochs.c.at)).where(epochs.c.key.in_(own)))
            return began

    def warnings_of(self, experiment: str) -> list[WarningRow]:
        """Returns the warnings of the experiment's epochs, by arm, seed, generation and epoch."""
        query = (
            sa.select(uses.c.arm, uses.c.seed, epochs.c.generation, epochs.c.epoch, epochs.c.warnings)
            .join(uses, uses.c.key == epochs.c.key)
            .where(uses.c.experiment == experiment, sa.cast(epochs.c.warnings, sa.Text) != "[]")
            .order_by(uses.c.arm, uses.c.seed, epochs.c.generation, epochs.c.epoch)
        )
        with self._engine.connect() as connection:
            return read(connection, WarningRow, query)

    def _rows_of(
        self, record: type[_Row], table: sa.Table, experiment: str, arm: str, seed: int, after: int
    ) -> list[_Row]:
        own = [column for column in columns(record, table) if column.name != "generation"]
        query = (
            sa.select(*own, uses.c.generation)
            .join(uses, uses.c.key == table.c.key)
            .where(uses.c.experiment == experiment, uses.c.arm == arm, uses.c.seed == seed, table.c.id > after)
            .order_by(table.c.id)
        )
        with self._engine.connect() as connection:
            return read(connection, record, query)
