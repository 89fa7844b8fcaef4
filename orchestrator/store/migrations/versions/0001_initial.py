"""Creates the tables of the versions before migrations.

A database of such a version has no revision and some or all of these tables, so only missing tables are created.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _experiments()
    _nodes()
    _measurements()
    _side_tables()


def _experiments() -> None:
    _table(
        "experiments",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(16)),
        sa.Column("message", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("alive_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("started_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sa.Column("published", sa.Boolean, nullable=False),
    )
    _index("experiments", "state")
    _table(
        "runs",
        sa.Column("experiment", sa.String(40), sa.ForeignKey("experiments.id"), primary_key=True),
        sa.Column("arm", sa.String(64), primary_key=True),
        sa.Column("seed", sa.BigInteger, primary_key=True),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("shipped_epoch", sa.Integer, nullable=False),
        sa.Column("shipped_result", sa.Integer, nullable=False),
    )
    _table(
        "idempotency",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("experiment", sa.String(40), sa.ForeignKey("experiments.id"), nullable=False),
    )


def _nodes() -> None:
    _table(
        "nodes",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(40)),
        sa.Column("made_by", sa.String(200)),
        sa.Column("reason", sa.String(16)),
        sa.Column("message", sa.Text),
        sa.Column("checkpoint_uri", sa.Text),
        sa.Column("weights_sha256", sa.String(64)),
        sa.Column("started_at", sa.Float),
        sa.Column("finished_at", sa.Float),
    )
    _table(
        "uses",
        sa.Column("experiment", sa.String(40), sa.ForeignKey("experiments.id"), primary_key=True),
        sa.Column("key", sa.String(64), sa.ForeignKey("nodes.key"), primary_key=True),
        sa.Column("arm", sa.String(64), primary_key=True),
        sa.Column("seed", sa.BigInteger, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
    )


def _measurements() -> None:
    _table(
        "epochs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(64), sa.ForeignKey("nodes.key"), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(64), nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.UniqueConstraint("key", "epoch"),
    )
    _index("epochs", "key")
    _table(
        "results",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(64), sa.ForeignKey("nodes.key"), nullable=False),
        sa.Column("evaluator", sa.String(64), nullable=False),
        sa.Column("dataset", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(200), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.UniqueConstraint("key", "metric"),
    )
    _index("results", "key")
    _table(
        "curves",
        sa.Column("key", sa.String(64), sa.ForeignKey("nodes.key"), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("values", sa.JSON, nullable=False),
    )
    _table(
        "timings",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    _index("timings", "kind")


def _side_tables() -> None:
    """What belonged to nodes and experiments, and had tables of its own because no column could be added."""
    _table(
        "details",
        sa.Column("key", sa.String(64), sa.ForeignKey("nodes.key"), primary_key=True),
        sa.Column("content", sa.JSON, nullable=False),
    )
    _table(
        "machines",
        sa.Column("key", sa.String(64), sa.ForeignKey("nodes.key"), primary_key=True),
        sa.Column("fingerprint", sa.JSON, nullable=False),
    )
    _table(
        "capsules",
        sa.Column("experiment", sa.String(40), sa.ForeignKey("experiments.id"), primary_key=True),
        sa.Column("content", sa.JSON, nullable=False),
    )


def _table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(name, *parts, if_not_exists=True)


def _index(table: str, column: str) -> None:
    op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)
