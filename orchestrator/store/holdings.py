"""Queries across experiments and nodes, for garbage collections and capsules."""

from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from orchestrator.states import TERMINAL, NodeState
from orchestrator.store.database import Database, columns, exclude_writers, read
from orchestrator.store.records import Experiment, Holdings, Posted, Shown
from orchestrator.store.schema import experiments, nodes, runs, uses


class HoldingsQueries(Database):
    """Reads what the database holds, and forgets checkpoints in a transaction for which submissions wait."""

    def capsule_of(self, experiment: str) -> dict[str, Any] | None:
        """Returns the capsule that the experiment was posted as, or None if it was posted as a spec."""
        with self._engine.connect() as connection:
            found: dict[str, Any] | None = connection.scalar(
                sa.select(experiments.c.capsule).where(experiments.c.id == experiment)
            )
            return found

    def machines_of(self, experiment: str) -> dict[str, dict[str, Any]]:
        """Maps the key of each generation of the experiment to the fingerprint of its machine, if one is stored."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(nodes.c.key, nodes.c.fingerprint).where(
            nodes.c.key.in_(mine), nodes.c.fingerprint.is_not(None)
        )
        with self._engine.connect() as connection:
            return {row.key: row.fingerprint for row in connection.execute(query)}

    def holdings(self) -> Holdings:
        """Returns all experiments, their nodes and their tracking runs, as one consistent snapshot."""
        with self._engine.connect() as connection:
            return _holdings(connection)

    def forget_checkpoints(self, choose: Callable[[Holdings], Iterable[str]]) -> None:
        """Marks the nodes whose keys `choose` returns as finished without a checkpoint.

        `choose` is called once, inside the transaction. No experiment can be submitted before it has returned.
        """
        with self._writing.begin() as connection:
            exclude_writers(connection)
            for key in choose(_holdings(connection)):
                connection.execute(
                    sa.update(nodes)
                    .where(nodes.c.key == key, nodes.c.state == NodeState.SUCCEEDED)
                    .values(checkpoint_uri=None)
                )


def _holdings(connection: sa.Connection) -> Holdings:
    place = (uses.c.experiment, uses.c.arm, uses.c.seed, uses.c.generation)
    node = (nodes.c.key, nodes.c.kind, nodes.c.state, nodes.c.finished_at, nodes.c.made_by)
    uri = nodes.c.checkpoint_uri.label("uri")
    shown = read(connection, Shown, sa.select(*place, *node, uri).join(nodes, nodes.c.key == uses.c.key))
    posted = {
        row.id: Posted(row.spec, (row.finished_at or row.created_at) if row.state in TERMINAL else None)
        for row in connection.execute(sa.select(*columns(Experiment, experiments)))
    }
    found: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(runs.c.experiment, runs.c.run_id).order_by(runs.c.run_id)):
        found.setdefault(row.experiment, []).append(row.run_id)
    return Holdings(shown, posted, found)
