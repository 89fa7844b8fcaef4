"""Details and machines become columns of nodes, capsules a column of experiments."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _fold("details", "content", "key", "nodes", "details")
    _fold("machines", "fingerprint", "key", "nodes", "fingerprint")
    _fold("capsules", "content", "experiment", "experiments", "capsule")


def _fold(side: str, content: str, key: str, table: str, column: str) -> None:
    """Moves `content` of each row of `side` to `column` of the row of `table` that its `key` names, and drops `side`."""
    owner = "key" if table == "nodes" else "id"
    op.add_column(table, sa.Column(column, sa.JSON))
    found = f"(SELECT {side}.{content} FROM {side} WHERE {side}.{key} = {table}.{owner})"
    op.execute(f"UPDATE {table} SET {column} = {found}")
    op.drop_table(side)
