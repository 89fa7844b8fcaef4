"""The connection: how transactions begin, and what every part of the store shares."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event

from orchestrator.store import migrations

_Record = TypeVar("_Record")


class Database:
    """One database; safe to use from several threads and processes."""

    def __init__(self, url: str, now: Callable[[], float] = time.time) -> None:
        """Opens the database; makes or upgrades its tables where that is needed. Raises migrations.UnknownRevision."""
        self._engine = sa.create_engine(url)
        self._now = now
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", durable_sqlite)
            event.listen(self._engine, "begin", begin_sqlite)
        self._writing = self._engine.execution_options(writing=True)
        try:
            migrations.bring_up_to_date(self._engine, self._writing)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()


def columns(record: type[Any], table: sa.Table) -> list[sa.Column[Any]]:
    """The columns of `table` that a record has a field for; the others may be large."""
    return [table.c[field.name] for field in fields(record) if field.name in table.c]


def read(connection: sa.Connection, record: type[_Record], query: sa.Select[Any]) -> list[_Record]:
    """What `query` finds, as records whose fields are named like its columns."""
    return [record(**row) for row in connection.execute(query).mappings()]


def read_one(connection: sa.Connection, record: type[_Record], query: sa.Select[Any]) -> _Record | None:
    """The only row that `query` finds, as a record; None where it finds none."""
    found = read(connection, record, query)
    assert len(found) <= 1, query
    return found[0] if found else None


def finite(numbers: Mapping[Any, Any]) -> dict[Any, Any]:
    """`numbers` with None for NaN and the infinities."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in numbers.items()}


def insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def durable_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in begin_sqlite, not where the driver thinks best
    for pragma in ("busy_timeout=20000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes the lock at once: one that read first and then wants it would be refused without waiting."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def alone(connection: sa.Connection) -> None:
    """Waits until no other submission or clean-up is going on: SQLite has one writer anyway, PostgreSQL gets a lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


_LOCK = 7_360_001
"""Number of the lock; any that nobody else uses."""
