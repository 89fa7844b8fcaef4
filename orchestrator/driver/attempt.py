"""What one attempt at an experiment knows, and all that it may write; the database holds what matters."""

import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from orchestrator import plan as planning
from orchestrator.cluster import board
from orchestrator.driver.committer import Committer, Stopped
from orchestrator.intake.check import check
from orchestrator.plan import Segment
from orchestrator.settings import Settings
from orchestrator.states import NodeState, Reason
from orchestrator.store import Claim, Store
from orchestrator.store.records import StoredNode
from trainer.core import checkpoint


class Attempt:
    """Attempt `number` at `experiment`. Raises ValueError where it is not there, or was posted under other code."""

    def __init__(self, settings: Settings, experiment: str, number: int) -> None:
        self.settings, self.experiment, self.number = settings, experiment, number
        self.store = Store(settings.database_url)
        row = self.store.experiment(experiment)
        if row is None:
            raise ValueError(f"there is no experiment {experiment!r} in the database")
        self.spec = check(row.spec)
        self.plan = planning.plan(self.spec)
        self.name = f"{self.spec.name}-{experiment}-a{number}"
        self.claims: dict[str, Claim] = {}
        stored = self.store.nodes_of(experiment)
        if self.plan.nodes.keys() != stored.keys():
            raise ValueError(
                "the code has changed since the experiment was posted, so its work has other keys: post it again"
            )
        self.done: set[str] = {key for key, node in stored.items() if node.state == NodeState.SUCCEEDED}
        self.failed: dict[str, Reason] = {}
        """Reason by key of every node that failed or was skipped because another did."""
        self.said: dict[str, str] = {}
        """By key of a generation: a warning that its next epoch is stored with."""
        self.given_up: set[str] = set()
        """What only trials of a search need that have not won."""
        self.stopping = threading.Event()
        self.committer = Committer(settings, self.store, row, self.spec, self.stopping)

    def leave(self) -> NoReturn:
        """Ends the attempt without an outcome; what is done stays done."""
        self.stopping.set()
        sys.exit(0)

    def generation_done(self, key: str) -> None:
        """Has a generation that is whole on shared storage committed."""
        if key not in self.done and key in self.claims:
            self.done.add(key)
            self.committer.add(self.plan.nodes[key], self.claims[key])

    def nodes(self) -> dict[str, StoredNode]:
        """Every node of the experiment by key, as the database has it now."""
        return self.store.nodes_of(self.experiment)

    def claim(self, key: str) -> bool:
        """Whether this attempt may make the node; notices one that another experiment has made meanwhile."""
        if (claim := self.store.claim(key, self.experiment, self.number)) is not None:
            self.claims[key] = claim
        elif key not in self.claims and self.nodes()[key].state == NodeState.SUCCEEDED:
            self.done.add(key)
        return claim is not None

    def claim_all(self, segment: Segment) -> bool:
        """Whether this attempt may make the whole segment; it claims no part alone, or two could wait for each other."""
        claimed: list[str] = []
        for node in segment.nodes:
            if not self.claim(node.key):
                self.put_back(claimed)
                return False
            claimed.append(node.key)
        return True

    def put_back(self, keys: Iterable[str]) -> None:
        """Gives up the claims on nodes that this attempt will not make now."""
        self.store.put_back([self.claims.pop(key) for key in keys if key in self.claims])

    def fail_first(self, keys: Sequence[str], reason: Reason, message: str) -> None:
        """Fails the node that a segment or leg did not get past; those behind it only need it."""
        left = [key for key in keys if key not in self.done]
        self.fail(set(left[:1]), reason, message)

    def fail(self, keys: set[str], reason: Reason, message: str) -> None:
        """Fails `keys` and marks every node that needs one of them."""
        for key in keys:
            if claim := self.claims.get(key) or self.store.claim(key, self.experiment, self.number):
                self.store.fail_node(claim, reason, message)
            self.failed[key] = reason
        behind = []
        for key, node in self.plan.nodes.items():
            if node.parent in self.failed and key not in self.failed and key not in self.done:
                self.failed[key] = Reason.DEPENDENCY
                behind.append(key)
        self.put_back(behind)  # another experiment may be waiting for them, which must fail for itself

    def finished_on_disk(self, key: str) -> bool:
        """Whether an earlier attempt trained the generation but did not live to commit it."""
        try:
            found = checkpoint.read_manifest(board.checkpoint_folder(self.settings.storage, key))
        except checkpoint.BadCheckpoint:
            return False
        return found.key == key

    def checkpoint(self, key: str) -> Path:
        """Directory of a finished generation's checkpoint; fetched from the tracking server where it is not on disk."""
        if self.finished_on_disk(key):
            return board.checkpoint_folder(self.settings.storage, key)
        try:
            uri = self.nodes()[key].checkpoint_uri
            assert uri is not None
            return self.committer.fetch(uri, self.settings.storage / "fetched" / key)
        except Stopped:
            self.leave()
