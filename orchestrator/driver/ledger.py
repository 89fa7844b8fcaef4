"""The state of every node in one attempt: done, claimed, failed, or given up."""

from collections.abc import Callable, Collection, Iterable, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from orchestrator.plan import Plan
from orchestrator.states import NodeState, Reason
from orchestrator.store import Claim, Store


class NodeLedger:
    """The state of an experiment's nodes as attempt `attempt` sees it.

    Within the attempt, only the ledger claims and fails nodes. A node is claimed before it is worked on, and
    finished, failed or put back afterwards. A claim that was used remains in the ledger, but the database accepts no
    second result under it. `claim` and `refresh` notice the nodes that another experiment has finished.

    The ledger is not thread-safe. All calls come from the driver's main thread, in which Ray Tune also runs the
    searcher and the callbacks. The committer's thread receives each generation together with its claim, and the
    database decides whether that claim is still valid. The heartbeat and the threads of training slots do not use the
    ledger either.

    Raises ValueError if the nodes of `plan` differ from those that the database has for the experiment.
    """

    def __init__(self, store: Store, plan: Plan, experiment: str, attempt: int) -> None:
        self._store, self._plan, self._experiment, self._attempt = store, plan, experiment, attempt
        stored = {key: row.state for key, row in store.nodes_of(experiment).items()}
        if plan.nodes.keys() != stored.keys():
            raise ValueError(
                "the code has changed since the experiment was posted, so its work has other keys: post it again"
            )
        self._claims: dict[str, Claim] = {}
        self._done = dict.fromkeys(key for key, state in stored.items() if state == NodeState.SUCCEEDED)
        self._failed: dict[str, Reason] = {}
        self._given_up: frozenset[str] = frozenset()

    @property
    def done(self) -> KeysView[str]:
        """A live view of the nodes that are done. A generation is done once the committer has its checkpoint."""
        return self._done.keys()

    @property
    def failed(self) -> Mapping[str, Reason]:
        """A live view of the nodes that failed or were skipped: the reason by key.

        The reason is DEPENDENCY for a node that needs another one that failed.
        """
        return MappingProxyType(self._failed)

    @property
    def given_up(self) -> AbstractSet[str]:
        """The nodes that are no longer needed."""
        return self._given_up

    @property
    def claimed(self) -> KeysView[str]:
        """A live view of the nodes that this attempt has claimed and not put back."""
        return self._claims.keys()

    def committed(self) -> set[str]:
        """Returns the keys of the nodes that are done in the database now, including those of other experiments."""
        return {key for key, row in self._store.nodes_of(self._experiment).items() if row.state == NodeState.SUCCEEDED}

    def checkpoint_uri(self, key: str) -> str:
        """Returns the URI of a committed generation's checkpoint on the tracking server."""
        return str(self._store.nodes_of(self._experiment)[key].checkpoint_uri)

    def refresh(self) -> None:
        """Marks the nodes as done that other experiments have finished since."""
        self._done |= dict.fromkeys(self.committed())

    def claim(self, key: str) -> bool:
        """Claims the node, and returns whether this attempt may work on it.

        If another experiment has finished the node since, it is marked as done.
        """
        claim = self._store.claim(key, self._experiment, self._attempt)
        if claim is not None:
            self._claims[key] = claim
        elif key not in self._claims and key in self.committed():
            self._done[key] = None
        return claim is not None

    def claim_all(self, keys: Sequence[str]) -> bool:
        """Claims either all of `keys` or none, and returns whether this attempt may work on them.

        With partial claims, two experiments could wait for each other.
        """
        for index, key in enumerate(keys):
            if not self.claim(key):
                self.put_back(keys[:index])
                return False
        return True

    def put_back(self, keys: Iterable[str]) -> None:
        """Releases the claims on nodes that this attempt will not work on now."""
        self._store.put_back([self._claims.pop(key) for key in keys if key in self._claims])

    def finish(self, key: str, commit: Callable[[Claim], bool]) -> None:
        """Calls `commit` with the claim on a node, and marks the node as done if that returns True.

        `commit` returns False if the claim was lost. A node that is done already or not claimed here is left alone.
        """
        claim = self._claims.get(key)
        if key not in self._done and claim is not None and commit(claim):
            self._done[key] = None

    def fail(self, keys: Collection[str], reason: Reason, message: str) -> None:
        """Fails the nodes `keys`, and skips every node that needs one of them."""
        for key in keys:
            if claim := self._claims.get(key) or self._store.claim(key, self._experiment, self._attempt):
                self._store.fail_node(claim, reason, message)
            self._failed[key] = reason
        dependents = []
        for key, node in self._plan.nodes.items():  # parents come first
            if node.parent in self._failed and key not in self._failed and key not in self._done:
                self._failed[key] = Reason.DEPENDENCY
                dependents.append(key)
        self.put_back(dependents)  # another experiment that waits for them has to find the failure itself

    def fail_first(self, keys: Sequence[str], reason: Reason, message: str) -> None:
        """Fails the first of `keys` that is not done, at which a segment stopped. The later ones depend on it."""
        self.fail([key for key in keys if key not in self._done][:1], reason, message)

    def skip(self, keys: Iterable[str]) -> None:
        """Marks `keys` as failed with DEPENDENCY, because something that they need has failed."""
        self._failed |= dict.fromkeys(keys, Reason.DEPENDENCY)

    def give_up(self, keys: AbstractSet[str]) -> None:
        """Marks those of `keys` that are neither done nor failed as no longer needed."""
        self._given_up = frozenset(keys - self._done.keys() - self._failed.keys())
