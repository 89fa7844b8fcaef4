"""Experiments: submission, states, attempts and outcomes."""

import secrets
import time
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from orchestrator.plan import Plan
from orchestrator.plan.missing import trained_again
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.states import EXPERIMENT_MOVES, TERMINAL, ExperimentState, NodeState, Reason, before
from orchestrator.store.database import Database, columns, exclude_writers, insert, read, read_one
from orchestrator.store.records import Experiment
from orchestrator.store.schema import experiments, idempotency, nodes, uses


class KeyReused(ValueError):  # noqa: N818  the outcome's name
    """An Idempotency-Key was sent again with a different body."""


class Experiments(Database):
    """Reads and writes the rows, states and attempts of experiments."""

    def submit(
        self,
        name: str,
        spec: dict[str, Any],
        plan: Plan,
        idempotency_key: str | None = None,
        body_sha256: str = "",
        capsule: dict[str, Any] | None = None,
    ) -> tuple[str, bool]:
        """Stores an experiment, and returns its id and whether it is new.

        The same idempotency key and body return the first experiment again. `capsule` is the capsule that was posted,
        with which the results are compared at the end. Raises KeyReused for the same key with a different body, and
        InvalidSpec if the plan needs a checkpoint of an earlier experiment that has been removed.
        """
        for attempt in range(10):
            try:
                with self._writing.begin() as connection:
                    exclude_writers(connection)
                    return self._submit(connection, name, spec, plan, idempotency_key, body_sha256, capsule)
            except sa.exc.IntegrityError:  # another process stored the same key or node: look again
                if attempt == 9:
                    raise
        raise AssertionError("unreachable")

    def answered(self, idempotency_key: str | None, body_sha256: str) -> str | None:
        """Returns the id of the experiment that this key and body submitted before, or None. Raises KeyReused."""
        with self._engine.connect() as connection:
            return _answered(connection, idempotency_key, body_sha256)

    def _submit(
        self,
        connection: sa.Connection,
        name: str,
        spec: dict[str, Any],
        plan: Plan,
        key: str | None,
        body_sha256: str,
        capsule: dict[str, Any] | None,
    ) -> tuple[str, bool]:
        if (earlier := _answered(connection, key, body_sha256)) is not None:
            return earlier, False
        states, kept = _states(connection, list(plan.nodes))
        done = {each for each, state in states.items() if state == NodeState.SUCCEEDED}
        lost = trained_again({node.key: node.parent for node in plan.nodes.values()}, done, kept)
        if gone := [plan.nodes[each].title for each in plan.nodes if each in lost and plan.nodes[each].elsewhere]:
            message = f"the checkpoint of {', '.join(gone)} was removed"
            message += ": post its arm in this experiment, and refer to it there"
            raise InvalidSpec([Problem("/arms", "CONTRADICTION", message)])
        done -= lost
        counts = {
            kind: {**plan.counts(kind), "cached": sum(plan.nodes[each].kind == kind for each in done)}
            for kind in ("generation", "evaluation")
        }
        identity = f"exp_{time.strftime('%Y%m%d-%H%M%S', time.gmtime(self._now()))}-{secrets.token_hex(4)}"
        row = {
            "id": identity,
            "name": name,
            "spec": spec,
            "plan": counts,
            "state": ExperimentState.QUEUED,
            "created_at": self._now(),
            "capsule": capsule,
        }
        connection.execute(sa.insert(experiments), row)
        fresh = [node for node in plan.nodes.values() if node.key not in states]
        insert(connection, nodes, [{"key": node.key, "kind": node.kind, "state": NodeState.QUEUED} for node in fresh])
        for each in (each for each, state in states.items() if state in _RETRIED or each in lost):
            again = {"state": NodeState.QUEUED, "reason": None, "message": None}
            connection.execute(sa.update(nodes).where(nodes.c.key == each).values(again))
        rows = [{"experiment": identity, **vars(use), "cached": use.key in done} for use in plan.uses]
        insert(connection, uses, [{name: value for name, value in row.items() if name != "kind"} for row in rows])
        if key is not None:
            connection.execute(sa.insert(idempotency), {"key": key, "body_sha256": body_sha256, "experiment": identity})
        return identity, True

    def experiment(self, experiment: str) -> Experiment | None:
        """Returns the experiment with this id, or None if there is none."""
        if not experiment.isprintable():  # not an id of relearn, and PostgreSQL rejects NUL characters
            return None
        with self._engine.connect() as connection:
            return read_one(connection, Experiment, _EXPERIMENTS.where(experiments.c.id == experiment))

    def experiments(
        self, states: Iterable[ExperimentState] | None = None, limit: int | None = None
    ) -> list[Experiment]:
        """Returns the experiments in one of `states` (in any state if None), newest first, at most `limit`."""
        query = _EXPERIMENTS.order_by(experiments.c.created_at.desc(), experiments.c.id.desc()).limit(limit)
        if states is not None:
            query = query.where(experiments.c.state.in_(list(states)))
        with self._engine.connect() as connection:
            return read(connection, Experiment, query)

    def unpublished(self) -> list[Experiment]:
        """Returns the ended experiments whose tracking runs do not have a final status yet."""
        query = _EXPERIMENTS.where(experiments.c.state.in_(TERMINAL), ~experiments.c.published)
        with self._engine.connect() as connection:
            return read(connection, Experiment, query)

    def start_attempt(self, experiment: str, state: ExperimentState) -> int | None:
        """Starts the next attempt in `state` and returns its number; None if `state` may not follow the current one."""
        with self._writing.begin() as connection:
            changed = connection.execute(
                sa.update(experiments)
                .where(experiments.c.id == experiment, _may_become(state))
                .values(
                    state=state,
                    attempt=experiments.c.attempt + 1,
                    alive_at=self._now(),
                    started_at=sa.func.coalesce(experiments.c.started_at, self._now()),
                )
            )
            if changed.rowcount == 0:
                return None
            return int(connection.scalar(sa.select(experiments.c.attempt).where(experiments.c.id == experiment)) or 0)

    def move(
        self,
        experiment: str,
        to: ExperimentState,
        *,
        attempt: int | None = None,
        reason: Reason | None = None,
        message: str | None = None,
    ) -> bool:
        """Moves an experiment to state `to`, and returns whether it did.

        Nothing changes if `to` may not follow the current state, for example because the experiment has ended, or if
        `attempt` is given and is not the current attempt.
        """
        where = [experiments.c.id == experiment, _may_become(to)]
        if attempt is not None:
            where.append(experiments.c.attempt == attempt)
        values: dict[str, Any] = {"state": to, "reason": reason, "message": message, "alive_at": self._now()}
        if to in TERMINAL:
            values["finished_at"] = self._now()
        with self._writing.begin() as connection:
            return connection.execute(sa.update(experiments).where(*where).values(values)).rowcount == 1

    def cancel(self, experiment: str) -> None:
        """Ends a queued experiment, marks a live one for its supervisor, and leaves an ended one unchanged."""
        this = sa.update(experiments).where(experiments.c.id == experiment)
        waiting = experiments.c.state == ExperimentState.QUEUED
        with self._writing.begin() as connection:
            ended = {"state": ExperimentState.CANCELLED, "finished_at": self._now()}
            connection.execute(this.where(waiting).values(ended))
            to = ExperimentState.CANCELLING
            connection.execute(this.where(_may_become(to)).values(state=to))

    def heartbeat(self, experiment: str, attempt: int, message: str | None = None) -> ExperimentState | None:
        """Records that the attempt is alive. Returns the experiment's state; None for an old attempt."""
        with self._writing.begin() as connection:
            connection.execute(
                sa.update(experiments)
                .where(experiments.c.id == experiment, experiments.c.attempt == attempt)
                .values(alive_at=self._now(), **({} if message is None else {"message": message}))
            )
            query = sa.select(experiments.c.state).where(
                experiments.c.id == experiment, experiments.c.attempt == attempt
            )
            found: ExperimentState | None = connection.scalar(query)
            return found

    def set_published(self, experiment: str) -> None:
        """Records that the tracking runs of the experiment have their final status."""
        with self._writing.begin() as connection:
            connection.execute(sa.update(experiments).where(experiments.c.id == experiment).values(published=True))


_EXPERIMENTS = sa.select(*columns(Experiment, experiments))
_RETRIED = (NodeState.FAILED, NodeState.SKIPPED)
"""The states from which a new experiment that needs the node tries it again."""


def _may_become(state: ExperimentState) -> sa.ColumnElement[bool]:
    """Returns the condition that `state` may follow an experiment's current state."""
    return experiments.c.state.in_(before(EXPERIMENT_MOVES, state))


def _states(connection: sa.Connection, keys: list[str]) -> tuple[dict[str, NodeState], set[str]]:
    """Returns the state of each of `keys` that is in the database, and the keys with a stored checkpoint.

    It queries 500 keys at a time, because databases limit the parameters of a query.
    """
    found: dict[str, NodeState] = {}
    kept = set()
    for start in range(0, len(keys), 500):
        query = sa.select(nodes.c.key, nodes.c.state, nodes.c.checkpoint_uri).where(
            nodes.c.key.in_(keys[start : start + 500])
        )
        for row in connection.execute(query):
            found[row.key] = row.state
            kept |= {row.key} if row.checkpoint_uri is not None else set()
    return found, kept


def _answered(connection: sa.Connection, key: str | None, body_sha256: str) -> str | None:
    """Returns the id of the experiment that this key and body submitted, or None. Raises KeyReused."""
    if key is None:
        return None
    earlier = connection.execute(sa.select(idempotency).where(idempotency.c.key == key)).one_or_none()
    if earlier is not None and earlier.body_sha256 != body_sha256:
        raise KeyReused(f"Idempotency-Key {key!r} came with another body before: send a new key")
    return None if earlier is None else str(earlier.experiment)
