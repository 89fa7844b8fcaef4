"""The connection, its transactions, and the helpers that all modules of the store share."""

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
    """A connection to one database. It may be used from several threads and processes."""

    def __init__(self, url: str, now: Callable[[], float] = time.time) -> None:
        """Opens the database, and creates or upgrades its tables if necessary.

        `now` returns the time in seconds since the epoch. Raises migrations.UnknownRevision if a later version wrote
        the database.
        """
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
        """Closes all connections."""
        self._engine.dispose()


def columns(record: type[Any], table: sa.Table) -> list[sa.Column[Any]]:
    """Returns the columns of `table` for which `record` has a field. The other columns may be large."""
    return [table.c[field.name] for field in fields(record) if field.name in table.c]


def read(connection: sa.Connection, record: type[_Record], query: sa.Select[Any]) -> list[_Record]:
    """Returns the rows of `query` as records whose fields have the names of its columns."""
    return [record(**row) for row in connection.execute(query).mappings()]


def read_one(connection: sa.Connection, record: type[_Record], query: sa.Select[Any]) -> _Record | None:
    """Returns the only row of `query` as a record, or None if there is no row."""
    found = read(connection, record, query)
    assert len(found) <= 1, query
    return found[0] if found else None


def finite(numbers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns `numbers` with None in place of NaN and the infinities."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in numbers.items()}


def insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Inserts `rows` into `table`; does nothing if there are none."""
    if rows:
        connection.execute(sa.insert(table), rows)


def durable_sqlite(connection: Any, _record: object) -> None:
    """Configures a new SQLite connection: WAL, durable commits, foreign keys, and 20 s of waiting for a lock."""
    connection.isolation_level = None  # begin_sqlite begins transactions, not the driver
    for pragma in ("busy_timeout=20000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def begin_sqlite(connection: sa.Connection) -> None:
    """Begins a transaction. A writer takes SQLite's write lock immediately.

    SQLite refuses a transaction that reads first and then requests the lock, without waiting for it.
    """
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def exclude_writers(connection: sa.Connection) -> None:
    """Waits until no other submission or garbage collection is in progress.

    SQLite allows only one writer, so nothing is necessary there. PostgreSQL uses an advisory lock.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


_LOCK = 7_360_001
"""The number of the PostgreSQL lock. It is arbitrary, but must not be used for anything else."""
