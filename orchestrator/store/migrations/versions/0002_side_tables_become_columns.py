"""Moves details and machines into columns of `nodes`, and capsules into a column of `experiments`."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _fold("details", "content", "key", "nodes", "details")
    _fold("machines", "fingerprint", "key", "nodes", "fingerprint")
    _fold("capsules", "content", "experiment", "experiments", "capsule")


def _fold(side: str, content: str, key: str, table: str, column: str) -> None:
    """Moves the column `content` of the table `side` into a new `column` of `table`, and drops `side`.

    The column `key` of a row of `side` contains the primary key of the row of `table` to which it belongs.
    """
    owner = "key" if table == "nodes" else "id"
    op.add_column(table, sa.Column(column, sa.JSON))
    found = f"(SELECT {side}.{content} FROM {side} WHERE {side}.{key} = {table}.{owner})"
    op.execute(f"UPDATE {table} SET {column} = {found}")
    op.drop_table(side)
