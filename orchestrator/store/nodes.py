"""Nodes: claims, outcomes, and the experiments that use them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from orchestrator.states import LIVE, NODE_MOVES, TERMINAL, NodeState, Reason, before
from orchestrator.store.database import Database, columns, finite, insert, read
from orchestrator.store.records import Claim, NodeUse, Standing, StoredNode
from orchestrator.store.schema import curves, experiments, nodes, results, uses


class Nodes(Database):
    """Reads and writes nodes. Claims are fenced: a write of an attempt that lost its claim has no effect."""

    def nodes_of(self, experiment: str) -> dict[str, StoredNode]:
        """Maps the key of every node of the experiment to the node."""
        mine = sa.select(uses.c.key).where(uses.c.experiment == experiment)
        query = sa.select(*columns(StoredNode, nodes)).where(nodes.c.key.in_(mine))
        with self._engine.connect() as connection:
            return {node.key: node for node in read(connection, StoredNode, query)}

    def has_checkpoint(self, key: str) -> bool:
        """Returns whether the node is finished and its checkpoint is stored."""
        query = sa.select(nodes.c.checkpoint_uri).where(nodes.c.key == key, nodes.c.state == NodeState.SUCCEEDED)
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def needed_by_others(self, experiment: str) -> set[str]:
        """Returns the keys of all nodes that other experiments use which have not ended."""
        open_ = sa.select(experiments.c.id).where(experiments.c.state.not_in(TERMINAL), experiments.c.id != experiment)
        with self._engine.connect() as connection:
            return set(connection.scalars(sa.select(uses.c.key).where(uses.c.experiment.in_(open_))))

    def standings(self, keys: Sequence[str]) -> dict[str, Standing]:
        """Maps each of `keys` that is in the database to its standing."""
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
                    found[row.key] = Standing(row.state == NodeState.SUCCEEDED, kept, row.made_by, waiting.get(row.key))
        return found

    def uses_of(self, experiment: str) -> list[NodeUse]:
        """Returns the places of the experiment's nodes, by arm, seed and generation, with the node's kind and state."""
        query = (
            sa.select(*columns(NodeUse, uses), nodes.c.kind, nodes.c.state, nodes.c.made_by)
            .join(nodes, nodes.c.key == uses.c.key)
            .where(uses.c.experiment == experiment)
            .order_by(uses.c.arm, uses.c.seed, uses.c.generation)
        )
        with self._engine.connect() as connection:
            return read(connection, NodeUse, query)

    def claim(self, key: str, experiment: str, attempt: int | None = None) -> Claim | None:
        """Claims the node for `experiment`.

        Returns None if the node is finished, if another live experiment has claimed it, or if `attempt` is given and is
        not the current attempt of the experiment.
        """
        current = sa.select(experiments.c.id).where(experiments.c.id == experiment)
        if attempt is not None:
            current = current.where(experiments.c.attempt == attempt)
        others = sa.select(experiments.c.id).where(experiments.c.state.in_(LIVE), experiments.c.id != experiment)
        with self._writing.begin() as connection:
            changed = connection.execute(
                sa.update(nodes)
                .where(nodes.c.key == key, nodes.c.state.in_(before(NODE_MOVES, NodeState.RUNNING)))
                .where(current.exists())
                .where(
                    sa.or_(nodes.c.state != NodeState.RUNNING, nodes.c.owner.is_(None), nodes.c.owner.not_in(others))
                )
                .values(
                    state=NodeState.RUNNING,
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
        """Commits a generation, and returns whether it did: False if the claim was lost.

        `fingerprint` describes the machine that trained the generation.
        """
        with self._writing.begin() as connection:
            values = {
                "made_by": made_by,
                "checkpoint_uri": checkpoint_uri,
                "weights_sha256": weights_sha256,
                "fingerprint": None if fingerprint is None else dict(fingerprint),
            }
            return self._finish(connection, claim, values)

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
        """Commits the scores, curves and details of an evaluation; returns False if the claim was lost."""
        at = self._now()
        with self._writing.begin() as connection:
            values = {"made_by": made_by, "details": None if about is None else dict(about)}
            if not self._finish(connection, claim, values):
                return False
            rows = [
                {
                    "key": claim.key,
                    "evaluator": evaluator,
                    "dataset": dataset,
                    "metric": metric,
                    "at": at,
                    **finite(score),
                }
                for metric, score in scores.items()
            ]
            insert(connection, results, rows)
            lines = {name: list(finite(dict(enumerate(each))).values()) for name, each in series.items()}
            insert(
                connection, curves, [{"key": claim.key, "name": name, "values": each} for name, each in lines.items()]
            )
            return True

    def fail_node(self, claim: Claim, reason: Reason, message: str) -> bool:
        """Ends the node as FAILED; returns False if the claim was lost."""
        with self._writing.begin() as connection:
            return self._finish(connection, claim, {"reason": reason, "message": message[:4000]}, NodeState.FAILED)

    def put_back(self, claims: Iterable[Claim]) -> None:
        """Returns claimed nodes that are not finished to the queue, where any experiment may claim them."""
        with self._writing.begin() as connection:
            for claim in claims:
                held = (nodes.c.key == claim.key, nodes.c.fence == claim.fence, nodes.c.state == NodeState.RUNNING)
                free = {"state": NodeState.QUEUED, "owner": None, "fence": nodes.c.fence + 1}
                connection.execute(sa.update(nodes).where(*held).values(free))

    def release(self, experiment: str, skipped: Iterable[str] = ()) -> None:
        """Releases the unfinished nodes of an ended experiment: `skipped` become SKIPPED, the others QUEUED."""
        with self._writing.begin() as connection:
            mine = (nodes.c.owner == experiment, nodes.c.state == NodeState.RUNNING)
            connection.execute(
                sa.update(nodes).where(*mine).values(state=NodeState.QUEUED, owner=None, fence=nodes.c.fence + 1)
            )
            for key in skipped:
                waiting = (nodes.c.key == key, nodes.c.state.in_(before(NODE_MOVES, NodeState.SKIPPED)))
                values = {"state": NodeState.SKIPPED, "reason": Reason.DEPENDENCY}
                connection.execute(sa.update(nodes).where(*waiting).values(values))

    def _finish(
        self, connection: sa.Connection, claim: Claim, values: dict[str, Any], to: NodeState = NodeState.SUCCEEDED
    ) -> bool:
        """Ends the node in state `to` with `values`; returns False if the claim was lost."""
        held = (nodes.c.key == claim.key, nodes.c.fence == claim.fence, nodes.c.state.in_(before(NODE_MOVES, to)))
        changed = connection.execute(
            sa.update(nodes).where(*held).values({"state": to, "finished_at": self._now(), **values})
        )
        return changed.rowcount == 1
