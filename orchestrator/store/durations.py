"""Queries for the durations of finished work, from which plans are estimated."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from orchestrator.states import NodeState
from orchestrator.store.database import Database, columns, read, read_one
from orchestrator.store.records import Begun, Made, Timing
from orchestrator.store.schema import epochs, experiments, nodes, timings, uses


class Durations(Database):
    """Reads the durations of finished nodes, and reads and writes timing runs."""

    def makers(self, limit: int) -> list[Begun]:
        """Returns the newest `limit` experiments that have started, newest first."""
        begun = sa.select(*columns(Begun, experiments)).where(experiments.c.started_at.is_not(None))
        with self._engine.connect() as connection:
            newest = begun.order_by(experiments.c.created_at.desc(), experiments.c.id.desc()).limit(limit)
            return read(connection, Begun, newest)

    def made_in(self, experiment: str, kind: str) -> list[Made]:
        """Returns the nodes of `kind` that the experiment itself made, newest first, with their arm and generation."""
        query = (
            sa.select(nodes.c.key, uses.c.arm, uses.c.generation, nodes.c.finished_at)
            .join(uses, uses.c.key == nodes.c.key)
            .where(uses.c.experiment == experiment, nodes.c.owner == experiment)
            .where(nodes.c.kind == kind, nodes.c.state == NodeState.SUCCEEDED)
            .order_by(nodes.c.finished_at.desc(), nodes.c.key)
        )
        with self._engine.connect() as connection:
            return read(connection, Made, query)

    def epoch_ends(self, keys: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """Maps the key of each generation to its epochs and their end times in seconds since the epoch."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(keys), 500):
                query = sa.select(epochs.c.key, epochs.c.epoch, epochs.c.at).where(
                    epochs.c.key.in_(keys[start : start + 500])
                )
                for row in connection.execute(query.order_by(epochs.c.key, epochs.c.epoch)):
                    found.setdefault(row.key, []).append((row.epoch, row.at))
        return found

    def add_timing(self, kind: str, content: Mapping[str, Any]) -> None:
        """Stores the result of a timing run. `kind` is the digest of the kind of steps that it timed."""
        with self._writing.begin() as connection:
            connection.execute(sa.insert(timings), {"kind": kind, "content": dict(content), "at": self._now()})

    def timing(self, kind: str) -> Timing | None:
        """Returns the newest timing run of `kind`, or None if there is none."""
        query = sa.select(timings).where(timings.c.kind == kind).order_by(timings.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            return read_one(connection, Timing, query)
