"""What one attempt has made, is making, could not make and does without, node by node."""

from collections.abc import Callable, Collection, Iterable, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from orchestrator.plan import Plan
from orchestrator.states import NodeState, Reason
from orchestrator.store import Claim, Store


class NodeLedger:
    """The state of an experiment's nodes as attempt `attempt` sees it; nobody else writes it, or claims and fails nodes.

    A node is claimed before it is worked on, and finished, failed or put back afterwards. A claim that was used stays here, and
    the database takes nothing more under it. What another experiment makes is noticed by `claim` and `refresh`.

    All calls come from the driver's main thread, in which Ray Tune also runs the searcher and the callbacks. The committer's
    thread never sees the ledger: a generation is handed to it with its claim, and whether that still counts is for the
    database to decide. Neither do the heartbeat and the threads of training slots.

    Raises ValueError where `plan` has other nodes than the experiment has in the database.
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
        """A live view of the nodes that are made; a generation is as soon as its checkpoint is with the committer."""
        return self._done.keys()

    @property
    def failed(self) -> Mapping[str, Reason]:
        """A live view of the nodes that failed or were skipped, by key with the reason; DEPENDENCY where another failed."""
        return MappingProxyType(self._failed)

    @property
    def given_up(self) -> AbstractSet[str]:
        """The nodes that nobody needs any more."""
        return self._given_up

    @property
    def claimed(self) -> KeysView[str]:
        """A live view of the nodes that this attempt has claimed and not put back."""
        return self._claims.keys()

    def committed(self) -> set[str]:
        """The nodes that are made as the database has it now, whoever made them."""
        return {key for key, row in self._store.nodes_of(self._experiment).items() if row.state == NodeState.SUCCEEDED}

    def checkpoint_uri(self, key: str) -> str:
        """Where the tracking server has the checkpoint of a committed generation."""
        return str(self._store.nodes_of(self._experiment)[key].checkpoint_uri)

    def refresh(self) -> None:
        """Notes what another experiment has made meanwhile."""
        self._done |= dict.fromkeys(self.committed())

    def claim(self, key: str) -> bool:
        """Whether this attempt may make the node; notes it as done where another experiment has made it meanwhile."""
        claim = self._store.claim(key, self._experiment, self._attempt)
        if claim is not None:
            self._claims[key] = claim
        elif key not in self._claims and key in self.committed():
            self._done[key] = None
        return claim is not None

    def claim_all(self, keys: Sequence[str]) -> bool:
        """Whether this attempt may make all of `keys`; it claims no part alone, or two could wait for each other."""
        for index, key in enumerate(keys):
            if not self.claim(key):
                self.put_back(keys[:index])
                return False
        return True

    def put_back(self, keys: Iterable[str]) -> None:
        """Gives up the claims on nodes that this attempt will not make now."""
        self._store.put_back([self._claims.pop(key) for key in keys if key in self._claims])

    def finish(self, key: str, commit: Callable[[Claim], bool]) -> None:
        """Has the work on a node committed and notes it as done; nothing where it is done already or not claimed here.

        `commit` returns False where the claim was lost: then the node is not done by this attempt.
        """
        claim = self._claims.get(key)
        if key not in self._done and claim is not None and commit(claim):
            self._done[key] = None

    def fail(self, keys: Collection[str], reason: Reason, message: str) -> None:
        """Fails `keys` and skips every node that needs one of them."""
        for key in keys:
            if claim := self._claims.get(key) or self._store.claim(key, self._experiment, self._attempt):
                self._store.fail_node(claim, reason, message)
            self._failed[key] = reason
        behind = []
        for key, node in self._plan.nodes.items():  # parents come first
            if node.parent in self._failed and key not in self._failed and key not in self._done:
                self._failed[key] = Reason.DEPENDENCY
                behind.append(key)
        self.put_back(behind)  # another experiment may be waiting for them, which must fail for itself

    def fail_first(self, keys: Sequence[str], reason: Reason, message: str) -> None:
        """Fails the first of `keys` that is not done, which a segment did not get past; those after it only need it."""
        self.fail([key for key in keys if key not in self._done][:1], reason, message)

    def skip(self, keys: Iterable[str]) -> None:
        """Notes that `keys` cannot be made, because something that they need has failed."""
        self._failed |= dict.fromkeys(keys, Reason.DEPENDENCY)

    def give_up(self, keys: AbstractSet[str]) -> None:
        """Notes that nobody needs those of `keys` that are neither done nor failed."""
        self._given_up = frozenset(keys - self._done.keys() - self._failed.keys())
