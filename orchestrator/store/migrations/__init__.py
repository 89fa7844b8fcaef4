"""Schema migrations: opening a database creates its tables, or upgrades those of an earlier version.

Each change of the schema is a module in `versions`. Alembic runs them, and is imported only if an upgrade is necessary.
"""

from typing import TYPE_CHECKING

import sqlalchemy as sa

from orchestrator.store.schema import schema

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0001", "0002")
"""The revisions that this code knows, oldest first. The last one is the schema of this code."""

_VERSIONS = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""The table in which Alembic stores the revision of the database, defined as Alembic defines it."""
_LOCK = 7_360_002
"""The number of the PostgreSQL lock for upgrades. It is arbitrary, but must not be used for anything else."""


class UnknownRevision(ValueError):  # noqa: N818  the outcome's name
    """The database was written by a version of relearn that this code does not know."""


def bring_up_to_date(engine: sa.Engine, writing: sa.Engine) -> None:
    """Upgrades the database to the schema of this code and keeps all rows.

    `writing` is the engine whose transactions take SQLite's write lock immediately, so that several processes may open
    one database. Raises UnknownRevision if a later version of relearn wrote the database.
    """
    with engine.connect() as connection:
        if _revision(connection) == REVISIONS[-1]:
            return
    with writing.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        found = _revision(connection)  # another process may have upgraded it meanwhile
        if found == REVISIONS[-1]:
            return
        if found is not None and found not in REVISIONS:
            raise UnknownRevision(
                f"the database {engine.url.render_as_string(hide_password=True)} has schema revision {found!r}, "
                "which this version of relearn does not know: install the version of relearn that wrote it"
            )
        if found is None and not sa.inspect(connection).has_table("experiments"):
            schema.create_all(connection)
            _VERSIONS.create(connection)
            connection.execute(sa.insert(_VERSIONS), {"version_num": REVISIONS[-1]})
        else:
            upgrade(connection, REVISIONS[-1])


def upgrade(connection: sa.Connection, revision: str) -> None:
    """Runs the migrations up to `revision` in the transaction of `connection`."""
    from alembic import command

    command.upgrade(config(connection), revision)


def config(connection: sa.Connection) -> "Config":
    """Returns Alembic's settings for the database of `connection`."""
    from alembic.config import Config

    found = Config()
    found.set_main_option("script_location", "orchestrator.store:migrations")
    found.set_main_option("path_separator", "os")
    found.attributes["connection"] = connection
    return found


def _revision(connection: sa.Connection) -> str | None:
    """Returns the revision of the database, or None if it is empty or was created before migrations existed."""
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    found: str | None = connection.scalar(sa.select(_VERSIONS.c.version_num))
    return found
