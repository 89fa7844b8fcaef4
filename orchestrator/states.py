"""The states of experiments and nodes, the transitions between them, and the reasons of failures."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class ExperimentState(StrEnum):
    """The state of an experiment."""

    QUEUED = "QUEUED"
    """It waits for its turn."""
    STARTING = "STARTING"
    """Its first attempt was submitted to the cluster, and its driver does not run yet."""
    RUNNING = "RUNNING"
    """Its driver trains and evaluates."""
    RECOVERING = "RECOVERING"
    """An attempt ended without an outcome, and the next one was submitted."""
    CANCELLING = "CANCELLING"
    """Its cancellation was requested, and its attempt has not ended yet."""
    SUCCEEDED = "SUCCEEDED"
    """All work that it requests is done."""
    FAILED = "FAILED"
    """It ended with work that could not be done."""
    CANCELLED = "CANCELLED"
    """It ended because its cancellation was requested."""


class NodeState(StrEnum):
    """The state of a node of a plan."""

    QUEUED = "QUEUED"
    """It waits for an experiment to make it."""
    RUNNING = "RUNNING"
    """An experiment has claimed it and makes it."""
    SUCCEEDED = "SUCCEEDED"
    """Its result is committed."""
    FAILED = "FAILED"
    """It could not be made; its reason says why."""
    SKIPPED = "SKIPPED"
    """It was not made, because what it needs failed or because a search stopped its trial."""


class Reason(StrEnum):
    """Why an experiment or a node failed or was skipped."""

    USER_ERROR = "USER_ERROR"
    """Training or evaluation raised an error, or a file that the spec names has other content than it states."""
    DIVERGED = "DIVERGED"
    """The training loss was not finite."""
    OOM = "OOM"
    """A worker ran out of memory."""
    NO_CAPACITY = "NO_CAPACITY"
    """The cluster is too small for the resources that the spec requests."""
    WORKER_LOST = "WORKER_LOST"
    """A worker or driver died, and trying again did not help."""
    DEPENDENCY = "DEPENDENCY"
    """Something that it needs failed or was removed."""


TERMINAL = frozenset({ExperimentState.SUCCEEDED, ExperimentState.FAILED, ExperimentState.CANCELLED})
"""An experiment in one of them has ended and never changes again."""
LIVE = frozenset(ExperimentState) - TERMINAL - {ExperimentState.QUEUED}
"""An experiment in one of them has an attempt."""

_GOING_ON = LIVE - {ExperimentState.CANCELLING}

EXPERIMENT_MOVES: Mapping[ExperimentState, frozenset[ExperimentState]] = {
    ExperimentState.QUEUED: _GOING_ON | TERMINAL,
    **dict.fromkeys(_GOING_ON, LIVE | TERMINAL),
    ExperimentState.CANCELLING: frozenset({ExperimentState.CANCELLED}),  # a cancellation overrides other outcomes
    **dict.fromkeys(TERMINAL, frozenset[ExperimentState]()),
}
"""The states that may follow each state of an experiment. A later attempt may enter the state of an earlier one."""

NODE_MOVES: Mapping[NodeState, frozenset[NodeState]] = {
    NodeState.QUEUED: frozenset({NodeState.RUNNING, NodeState.SKIPPED}),
    NodeState.RUNNING: frozenset({NodeState.RUNNING, NodeState.QUEUED, NodeState.SUCCEEDED, NodeState.FAILED}),
    NodeState.SUCCEEDED: frozenset({NodeState.QUEUED}),  # its checkpoint was removed, and a new experiment needs it
    NodeState.FAILED: frozenset({NodeState.QUEUED, NodeState.RUNNING}),
    NodeState.SKIPPED: frozenset({NodeState.QUEUED, NodeState.RUNNING}),
}
"""The states that may follow each state of a node. A claim that replaces another leaves the node in RUNNING."""

_State = TypeVar("_State", ExperimentState, NodeState)


def before(moves: Mapping[_State, frozenset[_State]], state: _State) -> frozenset[_State]:
    """The states that `state` may follow, according to `moves`."""
    return frozenset(earlier for earlier, following in moves.items() if state in following)
