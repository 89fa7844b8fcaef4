"""The database is the truth: experiments, nodes, what they measured, and where that was published.

SQLite (WAL, synchronous=FULL) by default, PostgreSQL by URL. Every write of an attempt carries its fencing number and does
nothing once a later attempt holds the node, so a worker that was thought dead cannot spoil a result. A terminal state never
changes.
"""

import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.plan import Plan
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.retention import Holdings, Posted, Shown, trained_again
from orchestrator.tables import (
    capsules,
    curves,
    details,
    epochs,
    experiments,
    idempotency,
    machines,
    nodes,
    results,
    runs,
    schema,
    timings,
    uses,
)

TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
LIVE = ("STARTING", "RUNNING", "RECOVERING", "CANCELLING")

Row = sa.RowMapping


class KeyReused(ValueError):  # noqa: N818  the outcome's name
    """An Idempotency-Key was sent again with another body."""


@dataclass(frozen=True)
class Claim:
    """The right to write node `key` until somebody else claims it."""

    key: str
    fence: int


@dataclass(frozen=True)
class Standing:
    """How a node stands: `waiting` is an experiment that shows it and has not ended."""

    done: bool
    kept: bool
    """Whether its checkpoint is."""
    made_by: str | None
    waiting: str | None


class Store:
    """One database; safe to use from several threads and processes."""

    def __init__(self, url: str, now: Callable[[], float] = time.time) -> None:
        self._engine = sa.create_engine(url)
        self._now = now
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _durable_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._writing = self._engine.execution_options(writing=True)
        schema.create_all(self._writing)

    def close(self) -> None:
        self._engine.dispose()

    # --- experiments ---

    def submit(
        self,
        name: str,
        spec: dict[str, Any],
        plan: Plan,
        idempotency_key: str | None = None,
        body_sha256: str = "",
        capsule: dict[str, Any] | None = None,
    ) -> tuple[str, bool]:
        """Stores an experiment and says its id, and whether it is new: the same key and body give the first one again.

        `capsule` is what it was posted as, to be compared with at its end. Raises KeyReused for the same key with another
        body, and InvalidSpec where a checkpoint of an earlier experiment that the plan needs was removed just now.
        """
        for attempt in range(10):
            try:
                with self._writing.begin() as connection:
                    _alone(connection)
                    return self._submit(connection, name, spec, plan, idempotency_key, body_sha256, capsule)
            except sa.exc.IntegrityError:  # somebody else stored the same key or node just now: look again
                if attempt == 9:
                    raise
        raise AssertionError("unreachable")

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
        if key is not None:
            earlier = connection.execute(sa.select(idempotency).where(idempotency.c.key == key)).one_or_none()
            if earlier is not None and earlier.body_sha256 != body_sha256:
                raise KeyReused(f"Idempotency-Key {key!r} came with another body before: send a new key")
            if earlier is not None:
                return str(earlier.experiment), False
        states, kept = _states(connection, list(plan.nodes))
        done = {each for each, state in states.items() if state == "SUCCEEDED"}
        lost = trained_again({node.key: node.parent for node in plan.nodes.values()}, done, kept)
        if gone := [plan.nodes[each].title for each in plan.nodes if each in lost and plan.nodes[each].elsewhere]:
            message = f"the checkpoint of {', '.join(gone)} was removed: post the experiment it is of again, then this one"
            raise InvalidSpec([Problem("/arms", "CONTRADICTION", message)])
        done -= lost
        counts = {
            kind: {**plan.counts(kind), "cached": sum(plan.nodes[each].kind == kind for each in done)}
            for kind in ("generation", "evaluation")
        }
        identity = f"exp_{time.strftime('%Y%m%d-%H%M%S', time.gmtime(self._now()))}-{secrets.token_hex(4)}"
        row = {"id": identity, "name": name, "spec": spec, "plan": counts, "state": "QUEUED", "created_at": self._now()}
        connection.execute(sa.insert(experiments), row)
        fresh = [node for node in plan.nodes.values() if node.key not in states]
        _insert(connection, nodes, [{"key": node.key, "kind": node.kind, "state": "QUEUED"} for node in fresh])
        for each in (each for each, state in states.items() if state in ("FAILED", "SKIPPED") or each in lost):
            again = {"state": "QUEUED", "reason": None, "message": None}
            connection.execute(sa.update(nodes).where(nodes.c.key == each).values(again))
        rows = [{"experiment": identity, **vars(use), "cached": use.key in done} for use in plan.uses]
        _insert(connection, uses, [{name: value for name, value in row.items() if name != "kind"} for row in rows])
        if key is not None:
            connection.execute(sa.insert(idempotency), {"key": key, "body_sha256": body_sha256, "experiment": identity})
        if capsule is not None:
            connection.execute(sa.insert(capsules), {"experiment": identity, "content": capsule})
        return identity, True

    def capsule_of(self, experiment: str) -> dict[str, Any] | None:
        """What the experiment was posted as, where that was a capsule."""
        with self._engine.connect() as connection:
            found: dict[str, Any] | None = connection.scalar(
                sa.select(capsules.c.content).where(capsules.c.experiment == experiment)
            )
            return found

    def experiment(self, experiment: str) -> Row | None:
        if not experiment.isprintable():  # no id of ours, and PostgreSQL takes no NUL
            return None
        with self._engine.connect() as connection:
            return connection.execute(sa.select(experiments).where(experiments.c.id == experiment)).mappings().one_or_none()

    def experiments(self, states: Iterable[str] | None = None, limit: int | None = None) -> list[Row]:
        """Experiments, newest first."""
        query = sa.select(experiments).order_by(experiments.c.created_at.desc(), experiments.c.id.desc()).limit(limit)
        if states is not None:
            query = query.where(experiments.c.state.in_(list(states)))
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def unpublished(self) -> list[Row]:
        """Experiments that ended and whose runs in the tracking server have no final status yet."""
        query = sa.select(experiments).where(experiments.c.state.in_(TERMINAL), ~experiments.c.published)
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def start_attempt(self, experiment: str, state: str) -> int | None:
        """Gives the experiment its next attempt in `state`; None where it has ended or is being cancelled."""
        with self._writing.begin() as connection:
            changed = connection.execute(
                sa.update(experiments)
                .where(
                    experiments.c.id == experiment,
                    experiments.c.state.in_(("QUEUED", "STARTING", "RUNNING", "RECOVERING")),
                )
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
        to: str,
        *,
        attempt: int | None = None,
        reason: str | None = None,
        message: str | None = None,
    ) -> bool:
        """Moves a live experiment to state `to`; False (and nothing happens) once it ended or a later attempt began."""
        where = [experiments.c.id == experiment, experiments.c.state.not_in(TERMINAL)]
        if attempt is not None:
            where.append(experiments.c.attempt == attempt)
        if to in ("STARTING", "RUNNING", "RECOVERING", "SUCCEEDED", "FAILED"):
            where.append(experiments.c.state != "CANCELLING")  # a cancel wins over whatever else goes on
        values: dict[str, Any] = {"state": to, "reason": reason, "message": message, "alive_at": self._now()}
        if to in TERMINAL:
            values["finished_at"] = self._now()
        with self._writing.begin() as connection:
            return connection.execute(sa.update(experiments).where(*where).values(values)).rowcount == 1

    def cancel(self, experiment: str) -> None:
        """Ends a waiting experiment at once and marks a live one for its supervisor; an ended one stays as it is."""
        to = sa.case((experiments.c.state == "QUEUED", "CANCELLED"), else_="CANCELLING")
        ended = sa.case((experiments.c.state == "QUEUED", self._now()), else_=None)
        with self._writing.begin() as connection:
            connection.execute(
                sa.update(experiments)
                .where(experiments.c.id == experiment, experiments.c.state.not_in(TERMINAL))
                .values(state=to, finished_at=ended)
            )

    def heartbeat(self, experiment: str, attempt: int, message: str | None = None) -> str | None:
        """Says that the attempt lives; returns the experiment's state, or None where a later attempt is the current one."""
        with self._writing.begin() as connection:
            connection.execute(
                sa.update(experiments)
                .where(experiments.c.id == experiment, experiments.c.attempt == attempt)
                .values(alive_at=self._now(), **({} if message is None else {"message": message}))
            )
            query = sa.select(experiments.c.state).where(experiments.c.id == experiment, experiments.c.attempt == attempt)
            return connection.scalar(query)

    def set_published(self, experiment: str) -> None:
        with self._writing.begin() as connection:
            connection.execute(sa.update(experiments).where(experiments.c.id == experiment).values(published=True))

    # --- nodes ---

    def nodes_of(self, experiment: str) -> dict[str, Row]:
        """Every node of the experiment by key."""
        query = sa.select(nodes).where(nodes.c.key.in_(sa.select(uses.c.key).where(uses.c.experiment == experiment)))
        with self._engine.connect() as connection:
            return {row["key"]: row for row in connection.execute(query).mappings()}

    def has_checkpoint(self, key: str) -> bool:
        """Whether the node is done and its checkpoint is kept."""
        query = sa.select(nodes.c.checkpoint_uri).where(nodes.c.key == key, nodes.c.state == "SUCCEEDED")
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def needed_by_others(self, experiment: str) -> set[str]:
        """The nodes that experiments other than this one show and that have not ended."""
        open_ = sa.select(experiments.c.id).where(experiments.c.state.not_in(TERMINAL), experiments.c.id != experiment)
        with self._engine.connect() as connection:
            return set(connection.scalars(sa.select(uses.c.key).where(uses.c.experiment.in_(open_))))

    def standings(self, keys: Sequence[str]) -> dict[str, Standing]:
        """How each of `keys` stands that is known here."""
        found: dict[str, Standing] = {}
        waited = (
            sa.select(uses.c.key, sa.func.min(uses.c.experiment).label("waiting"))
            .join(experiments, experiments.c.id == uses.c.experiment)
            .where(experiments.c.state.not_in(TERMINAL))
            .group_by(uses.c.key)
        )
        columns = (nodes.c.key, nodes.c.state, nodes.c.checkpoint_uri, nodes.c.made_by)
        with self._engine.connect() as connection:
            for start in range(0, len(keys), 500):
                portion = keys[start : start + 500]
                waiting = {row.key: row.waiting for row in connection.execute(waited.where(uses.c.key.in_(portion)))}
                for row in connection.execute(sa.select(*columns).where(nodes.c.key.in_(portion))):
                    kept = row.checkpoint_uri is not None
                    found[row.key] = Standing(row.state == "SUCCEEDED", kept, row.made_by, waiting.get(row.key))
        return found

    def uses_of(self, experiment: str) -> list[Row]:
        """Where each node of the experiment shows up, by arm, seed and generation, with the node's kind and state."""
        query = (
            sa.select(uses, nodes.c.kind, nodes.c.state.label("node_state"), nodes.c.made_by)
            .join(nodes, nodes.c.key == uses.c.key)
            .where(uses.c.experiment == experiment)
            .order_by(uses.c.arm, uses.c.seed, uses.c.generation)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def claim(self, key: str, experiment: str, attempt: int | None = None) -> Claim | None:
        """The right to make the node for `experiment`; None where it is made, or being made by another live experiment.

        With `attempt`: None also where that is no longer the experiment's current attempt.
        """
        current = sa.select(experiments.c.id).where(experiments.c.id == experiment)
        if attempt is not None:
            current = current.where(experiments.c.attempt == attempt)
        others = sa.select(experiments.c.id).where(experiments.c.state.in_(LIVE), experiments.c.id != experiment)
        with self._writing.begin() as connection:
            changed = connection.execute(
                sa.update(nodes)
                .where(nodes.c.key == key, nodes.c.state != "SUCCEEDED")
                .where(current.exists())
                .where(sa.or_(nodes.c.state != "RUNNING", nodes.c.owner.is_(None), nodes.c.owner.not_in(others)))
                .values(
                    state="RUNNING",
                    owner=experiment,
                    fence=nodes.c.fence + 1,
                    reason=None,
                    message=None,
                    started_at=self._now(),
                    finished_at=None,
                )
            )
            if changed.rowcount == 0:
                return None
            return Claim(key, int(connection.scalar(sa.select(nodes.c.fence).where(nodes.c.key == key)) or 0))

    def finish_generation(
        self,
        claim: Claim,
        made_by: str,
        checkpoint_uri: str,
        weights_sha256: str,
        fingerprint: Mapping[str, Any] | None = None,
    ) -> bool:
        """The commit point of a generation: its checkpoint becomes the node's result, unless the claim was lost.

        `fingerprint` is of the machine that trained it.
        """
        with self._writing.begin() as connection:
            values = {"made_by": made_by, "checkpoint_uri": checkpoint_uri, "weights_sha256": weights_sha256}
            if not self._finish(connection, claim, values):
                return False
            connection.execute(sa.delete(machines).where(machines.c.key == claim.key))
            if fingerprint is not None:
                connection.execute(sa.insert(machines), {"key": claim.key, "fingerprint": dict(fingerprint)})
            return True

    def finish_evaluation(
        self,
        claim: Claim,
        made_by: str,
        evaluator: str,
        dataset: str,
        scores: Mapping[str, Mapping[str, Any]],
        series: Mapping[str, list[float]],
        about: Mapping[str, Any] | None = None,
    ) -> bool:
        """Commits the scores of an evaluation and what is to be said about them, unless the claim was lost."""
        at = self._now()
        with self._writing.begin() as connection:
            if not self._finish(connection, claim, {"made_by": made_by}):
                return False
            rows = [
                {"key": claim.key, "evaluator": evaluator, "dataset": dataset, "metric": metric, "at": at, **_finite(score)}
                for metric, score in scores.items()
            ]
            _insert(connection, results, rows)
            lines = {name: list(_finite(dict(enumerate(each))).values()) for name, each in series.items()}
            _insert(connection, curves, [{"key": claim.key, "name": name, "values": each} for name, each in lines.items()])
            if about is not None:
                connection.execute(sa.insert(details), {"key": claim.key, "content": dict(about)})
            return True

    def fail_node(self, claim: Claim, reason: str, message: str) -> bool:
        """Ends the node as FAILED, unless the claim was lost."""
        with self._writing.begin() as connection:
            return self._finish(connection, claim, {"state": "FAILED", "reason": reason, "message": message[:4000]})

    def release(self, experiment: str, skipped: Iterable[str] = ()) -> None:
        """Puts the unfinished nodes of an ended experiment back: `skipped` as SKIPPED, the rest as QUEUED."""
        with self._writing.begin() as connection:
            mine = (nodes.c.owner == experiment, nodes.c.state == "RUNNING")
            connection.execute(sa.update(nodes).where(*mine).values(state="QUEUED", owner=None, fence=nodes.c.fence + 1))
            for key in skipped:
                waiting = (nodes.c.key == key, nodes.c.state == "QUEUED")
                connection.execute(sa.update(nodes).where(*waiting).values(state="SKIPPED", reason="DEPENDENCY"))

    def machines_of(self, experiment: str) -> dict[str, dict[str, Any]]:
        """By key of the experiment's generations: the fingerprint of the machine that trained it, where it was kept."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        with self._engine.connect() as connection:
            return {row.key: row.fingerprint for row in connection.execute(sa.select(machines).where(machines.c.key.in_(mine)))}

    def holdings(self) -> Holdings:
        """All experiments, where their nodes are shown, and the tracking server's runs, at one moment."""
        with self._engine.connect() as connection:
            return _holdings(connection)

    def forget_checkpoints(self, choose: Callable[[Holdings], Iterable[str]]) -> None:
        """Marks the nodes that `choose` says as done without a checkpoint, while no experiment can be submitted.

        `choose` is called once, inside the transaction; what it does is done before anything else is submitted.
        """
        with self._writing.begin() as connection:
            _alone(connection)
            for key in choose(_holdings(connection)):
                connection.execute(
                    sa.update(nodes).where(nodes.c.key == key, nodes.c.state == "SUCCEEDED").values(checkpoint_uri=None)
                )

    def _finish(self, connection: sa.Connection, claim: Claim, values: dict[str, Any]) -> bool:
        held = (nodes.c.key == claim.key, nodes.c.fence == claim.fence, nodes.c.state == "RUNNING")
        changed = connection.execute(
            sa.update(nodes).where(*held).values({"state": "SUCCEEDED", "finished_at": self._now(), **values})
        )
        return changed.rowcount == 1

    # --- what was measured ---

    def add_epochs(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds epoch rows; one that is there already keeps its values and time, so a repeated epoch changes nothing.

        A metric that is not finite is left out: neither JSON nor the tracking server takes it.
        """
        insert = (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(epochs)
        with self._writing.begin() as connection:
            for row in rows:
                metrics = {name: value for name, value in _finite(row["metrics"]).items() if value is not None}
                connection.execute(insert.on_conflict_do_nothing(), {**row, "metrics": metrics})

    def epochs_of(self, experiment: str, arm: str, seed: int, after: int = 0) -> list[Row]:
        """Epoch rows of a row of the comparison, in the order they were written, from id `after` on (exclusive)."""
        return self._rows_of(epochs, experiment, arm, seed, after)

    def results_of(self, experiment: str, arm: str, seed: int, after: int = 0) -> list[Row]:
        """Result rows of a row of the comparison, with its generation; likewise."""
        return self._rows_of(results, experiment, arm, seed, after)

    def details_of(self, experiment: str) -> dict[str, dict[str, Any]]:
        """What is said about each evaluation of the experiment, by key; nothing of those made before it was kept."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(details).where(details.c.key.in_(mine))
        with self._engine.connect() as connection:
            return {row.key: row.content for row in connection.execute(query)}

    def curves_of(self, experiment: str, like: Iterable[str]) -> dict[str, dict[str, list[float | None]]]:
        """By node of the experiment: its curves whose name is LIKE one of the patterns (`%/episodes`)."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(curves).where(curves.c.key.in_(mine), sa.or_(*(curves.c.name.like(each) for each in like)))
        found: dict[str, dict[str, list[float | None]]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                found.setdefault(row["key"], {})[row["name"]] = row["values"]
        return found

    def scores_of(self, experiment: str, metric: str) -> dict[str, float | None]:
        """By evaluation of the experiment that has the score `metric`: its value, None where that was not finite."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(results.c.key, results.c.value).where(results.c.key.in_(mine), results.c.metric == metric)
        with self._engine.connect() as connection:
            return {row.key: row.value for row in connection.execute(query)}

    def latest_epochs(self, experiment: str) -> dict[str, Row]:
        """For each generation that has begun: its last epoch row."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        last = sa.select(epochs.c.key, sa.func.max(epochs.c.epoch).label("epoch")).where(epochs.c.key.in_(mine))
        newest = last.group_by(epochs.c.key).subquery()
        query = sa.select(epochs).join(newest, (epochs.c.key == newest.c.key) & (epochs.c.epoch == newest.c.epoch))
        with self._engine.connect() as connection:
            return {row["key"]: row for row in connection.execute(query).mappings()}

    def training_began(self, experiment: str) -> float | None:
        """When the experiment's first own epoch ended; None before."""
        own = sa.select(uses.c.key).where(uses.c.experiment == experiment, ~uses.c.cached)
        with self._engine.connect() as connection:
            began: float | None = connection.scalar(sa.select(sa.func.min(epochs.c.at)).where(epochs.c.key.in_(own)))
            return began

    def warnings_of(self, experiment: str) -> list[Row]:
        """Epoch rows of the experiment that carry warnings."""
        query = (
            sa.select(uses.c.arm, uses.c.seed, epochs.c.generation, epochs.c.epoch, epochs.c.warnings)
            .join(uses, uses.c.key == epochs.c.key)
            .where(uses.c.experiment == experiment, sa.cast(epochs.c.warnings, sa.Text) != "[]")
            .order_by(uses.c.arm, uses.c.seed, epochs.c.generation, epochs.c.epoch)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def _rows_of(self, table: sa.Table, experiment: str, arm: str, seed: int, after: int) -> list[Row]:
        query = (
            sa.select(table, uses.c.generation.label("generation_index"))
            .join(uses, uses.c.key == table.c.key)
            .where(uses.c.experiment == experiment, uses.c.arm == arm, uses.c.seed == seed, table.c.id > after)
            .order_by(table.c.id)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    # --- what it took ---

    def makers(self, limit: int) -> list[Row]:
        """Id and spec of the newest experiments that have begun."""
        begun = sa.select(experiments.c.id, experiments.c.spec).where(experiments.c.started_at.is_not(None))
        with self._engine.connect() as connection:
            newest = begun.order_by(experiments.c.created_at.desc(), experiments.c.id.desc()).limit(limit)
            return list(connection.execute(newest).mappings())

    def made_in(self, experiment: str, kind: str) -> list[Row]:
        """The nodes of `kind` that the experiment itself made, newest first, with the arm and generation they are shown in."""
        query = (
            sa.select(nodes.c.key, uses.c.arm, uses.c.generation, nodes.c.finished_at)
            .join(uses, uses.c.key == nodes.c.key)
            .where(uses.c.experiment == experiment, nodes.c.owner == experiment)
            .where(nodes.c.kind == kind, nodes.c.state == "SUCCEEDED")
            .order_by(nodes.c.finished_at.desc(), nodes.c.key)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def epoch_ends(self, keys: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """By generation: its epochs, each with the time at which it ended."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(keys), 500):
                query = sa.select(epochs.c.key, epochs.c.epoch, epochs.c.at).where(epochs.c.key.in_(keys[start : start + 500]))
                for row in connection.execute(query.order_by(epochs.c.key, epochs.c.epoch)):
                    found.setdefault(row.key, []).append((row.epoch, row.at))
        return found

    def add_timing(self, kind: str, content: Mapping[str, Any]) -> None:
        """Keeps what a timing run found of a kind of steps (a digest)."""
        with self._writing.begin() as connection:
            connection.execute(sa.insert(timings), {"kind": kind, "content": dict(content), "at": self._now()})

    def timing(self, kind: str) -> Row | None:
        """The newest of a kind."""
        query = sa.select(timings).where(timings.c.kind == kind).order_by(timings.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().one_or_none()

    # --- where it was published ---

    def run(self, experiment: str, arm: str, seed: int) -> Row | None:
        with self._engine.connect() as connection:
            return connection.execute(sa.select(runs).where(*_row(experiment, arm, seed))).mappings().one_or_none()

    def add_run(self, experiment: str, arm: str, seed: int, run_id: str) -> None:
        row = {"experiment": experiment, "arm": arm, "seed": seed, "run_id": run_id}
        with self._writing.begin() as connection:
            connection.execute(sa.insert(runs), row)

    def runs_of(self, experiment: str) -> list[Row]:
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(runs).where(runs.c.experiment == experiment)).mappings())

    def shipped(self, experiment: str, arm: str, seed: int, epoch: int, result: int) -> None:
        """Remembers that everything up to these row ids is in the tracking server."""
        update = sa.update(runs).where(*_row(experiment, arm, seed)).values(shipped_epoch=epoch, shipped_result=result)
        with self._writing.begin() as connection:
            connection.execute(update)


def _finite(numbers: Mapping[Any, Any]) -> dict[Any, Any]:
    """`numbers` with None for NaN and the infinities."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in numbers.items()}


def _row(experiment: str, arm: str, seed: int) -> tuple[sa.ColumnElement[bool], ...]:
    return runs.c.experiment == experiment, runs.c.arm == arm, runs.c.seed == seed


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _states(connection: sa.Connection, keys: list[str]) -> tuple[dict[str, str], set[str]]:
    """The state of each of `keys` that is known, and those with a kept checkpoint, asked in portions that every database
    takes."""
    found: dict[str, str] = {}
    kept = set()
    for start in range(0, len(keys), 500):
        query = sa.select(nodes.c.key, nodes.c.state, nodes.c.checkpoint_uri).where(nodes.c.key.in_(keys[start : start + 500]))
        for row in connection.execute(query):
            found[row.key] = row.state
            kept |= {row.key} if row.checkpoint_uri is not None else set()
    return found, kept


def _alone(connection: sa.Connection) -> None:
    """Waits until no other submission or clean-up is going on: SQLite has one writer anyway, PostgreSQL gets a lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


_LOCK = 7_360_001
"""Number of the lock; any that nobody else uses."""


def _holdings(connection: sa.Connection) -> Holdings:
    place = (uses.c.experiment, uses.c.arm, uses.c.seed, uses.c.generation)
    node = (nodes.c.key, nodes.c.kind, nodes.c.state, nodes.c.checkpoint_uri, nodes.c.finished_at, nodes.c.made_by)
    shown = [Shown._make(row) for row in connection.execute(sa.select(*place, *node).join(nodes, nodes.c.key == uses.c.key))]
    posted = {
        row.id: Posted(row.spec, (row.finished_at or row.created_at) if row.state in TERMINAL else None)
        for row in connection.execute(sa.select(experiments))
    }
    found: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(runs.c.experiment, runs.c.run_id).order_by(runs.c.run_id)):
        found.setdefault(row.experiment, []).append(row.run_id)
    return Holdings(shown, posted, found)


def _durable_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not where the driver thinks best
    for pragma in ("busy_timeout=20000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes the lock at once: one that read first and then wants it would be refused without waiting."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
