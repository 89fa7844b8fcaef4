"""The tables of the database. The other modules of the store read and write them."""

from enum import StrEnum

import sqlalchemy as sa

from orchestrator.states import ExperimentState, NodeState, Reason


def _one_of(members: type[StrEnum]) -> sa.Enum:
    """Returns the type of a text column that stores a member's name and reads it as that member."""
    return sa.Enum(members, native_enum=False, length=16)


schema = sa.MetaData()
experiments = sa.Table(
    "experiments",
    schema,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("state", _one_of(ExperimentState), nullable=False, index=True),
    sa.Column("reason", _one_of(Reason)),
    sa.Column("message", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("alive_at", sa.Float),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sa.Column("published", sa.Boolean, nullable=False, default=False),
    sa.Column("capsule", sa.JSON(none_as_null=True)),
)
nodes = sa.Table(
    "nodes",
    schema,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", _one_of(NodeState), nullable=False),
    sa.Column("fence", sa.Integer, nullable=False, default=0),
    sa.Column("owner", sa.String(40)),
    sa.Column("made_by", sa.String(200)),
    sa.Column("reason", _one_of(Reason)),
    sa.Column("message", sa.Text),
    sa.Column("checkpoint_uri", sa.Text),
    sa.Column("weights_sha256", sa.String(64)),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sa.Column("details", sa.JSON(none_as_null=True)),
    sa.Column("fingerprint", sa.JSON(none_as_null=True)),
)
uses = sa.Table(
    "uses",
    schema,
    sa.Column("experiment", sa.ForeignKey("experiments.id"), primary_key=True),
    sa.Column("key", sa.ForeignKey("nodes.key"), primary_key=True),
    sa.Column("arm", sa.String(64), primary_key=True),
    sa.Column("seed", sa.BigInteger, primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("cached", sa.Boolean, nullable=False),
)
epochs = sa.Table(
    "epochs",
    schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.ForeignKey("nodes.key"), nullable=False, index=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("phase", sa.String(64), nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.UniqueConstraint("key", "epoch"),
)
results = sa.Table(
    "results",
    schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.ForeignKey("nodes.key"), nullable=False, index=True),
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
curves = sa.Table(
    "curves",
    schema,
    sa.Column("key", sa.ForeignKey("nodes.key"), primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("values", sa.JSON, nullable=False),
)
runs = sa.Table(
    "runs",
    schema,
    sa.Column("experiment", sa.ForeignKey("experiments.id"), primary_key=True),
    sa.Column("arm", sa.String(64), primary_key=True),
    sa.Column("seed", sa.BigInteger, primary_key=True),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("shipped_epoch", sa.Integer, nullable=False, default=0),
    sa.Column("shipped_result", sa.Integer, nullable=False, default=0),
)
idempotency = sa.Table(
    "idempotency",
    schema,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("experiment", sa.ForeignKey("experiments.id"), nullable=False),
)
timings = sa.Table(
    "timings",
    schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(64), nullable=False, index=True),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
