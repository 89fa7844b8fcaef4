"""The states of experiments and nodes, the permitted transitions, and the reasons for failures."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class ExperimentState(StrEnum):
    """The state of an experiment."""

    QUEUED = "QUEUED"
    """It waits to be started."""
    STARTING = "STARTING"
    """Its first attempt was submitted to the cluster, and its driver is not running yet."""
    RUNNING = "RUNNING"
    """Its driver is training and evaluating."""
    RECOVERING = "RECOVERING"
    """An attempt ended without an outcome, and the next one was submitted."""
    CANCELLING = "CANCELLING"
    """Its cancellation was requested, and its attempt has not ended yet."""
    SUCCEEDED = "SUCCEEDED"
    """All its nodes are finished."""
    FAILED = "FAILED"
    """It ended, and at least one of its nodes could not be finished."""
    CANCELLED = "CANCELLED"
    """It ended because its cancellation was requested."""


class NodeState(StrEnum):
    """The state of a node of the plan."""

    QUEUED = "QUEUED"
    """It waits for an experiment to claim it."""
    RUNNING = "RUNNING"
    """An experiment has claimed it and is working on it."""
    SUCCEEDED = "SUCCEEDED"
    """Its result is committed."""
    FAILED = "FAILED"
    """It could not be finished; its reason explains why."""
    SKIPPED = "SKIPPED"
    """It was not tried, because a node that it needs failed or because a search stopped its trial."""


class Reason(StrEnum):
    """Why an experiment or a node failed or was skipped."""

    USER_ERROR = "USER_ERROR"
    """Training or evaluation raised an error, or a file that the spec names does not have the stated content."""
    DIVERGED = "DIVERGED"
    """The training loss was no longer finite."""
    OOM = "OOM"
    """A worker ran out of memory."""
    NO_CAPACITY = "NO_CAPACITY"
    """The cluster does not have the resources that the spec requests."""
    WORKER_LOST = "WORKER_LOST"
    """A worker or driver died, and the retries failed too."""
    DEPENDENCY = "DEPENDENCY"
    """A node or checkpoint that it needs failed or was removed."""


TERMINAL = frozenset({ExperimentState.SUCCEEDED, ExperimentState.FAILED, ExperimentState.CANCELLED})
"""The states of an ended experiment, which never change again."""
LIVE = frozenset(ExperimentState) - TERMINAL - {ExperimentState.QUEUED}
"""The states of an experiment with an attempt on the cluster."""

_ACTIVE = LIVE - {ExperimentState.CANCELLING}

EXPERIMENT_MOVES: Mapping[ExperimentState, frozenset[ExperimentState]] = {
    ExperimentState.QUEUED: _ACTIVE | TERMINAL,
    **dict.fromkeys(_ACTIVE, LIVE | TERMINAL),
    ExperimentState.CANCELLING: frozenset({ExperimentState.CANCELLED}),  # a cancellation takes precedence
    **dict.fromkeys(TERMINAL, frozenset[ExperimentState]()),
}
"""Maps each state of an experiment to the states that may follow it.

A state may follow itself, because a later attempt may enter the state of the attempt before.
"""

NODE_MOVES: Mapping[NodeState, frozenset[NodeState]] = {
    NodeState.QUEUED: frozenset({NodeState.RUNNING, NodeState.SKIPPED}),
    NodeState.RUNNING: frozenset({NodeState.RUNNING, NodeState.QUEUED, NodeState.SUCCEEDED, NodeState.FAILED}),
    NodeState.SUCCEEDED: frozenset({NodeState.QUEUED}),  # its checkpoint was removed and is needed
    NodeState.FAILED: frozenset({NodeState.QUEUED, NodeState.RUNNING}),
    NodeState.SKIPPED: frozenset({NodeState.QUEUED, NodeState.RUNNING}),
}
"""Maps each state of a node to the states that may follow it.

RUNNING may follow itself, because a claim may replace another one.
"""

_State = TypeVar("_State", ExperimentState, NodeState)


def before(moves: Mapping[_State, frozenset[_State]], state: _State) -> frozenset[_State]:
    """Returns the states that `state` may follow, according to `moves`."""
    return frozenset(earlier for earlier, following in moves.items() if state in following)
