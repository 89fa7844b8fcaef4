"""The frozen records that the store returns. All times are in seconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.plan.graph import Kind
from orchestrator.states import ExperimentState, NodeState, Reason


@dataclass(frozen=True)
class Experiment:
    """An experiment in its current state. `spec` is raw JSON, because another version may have stored it."""

    id: str
    name: str
    spec: dict[str, Any]
    plan: dict[str, Any]
    """Maps each kind of node to the numbers of requested, distinct, and already finished nodes."""
    state: ExperimentState
    reason: Reason | None
    message: str | None
    attempt: int
    """The number of the latest attempt; 0 before the first."""
    alive_at: float | None
    """The time of the attempt's last heartbeat."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    published: bool
    """Whether its tracking runs have their final status."""


@dataclass(frozen=True)
class StoredNode:
    """A node in its current state, independent of the experiments that use it."""

    key: str
    kind: Kind
    state: NodeState
    fence: int
    """The fencing number of the latest claim."""
    owner: str | None
    """The experiment that holds or held the latest claim."""
    made_by: str | None
    """The experiment, arm, seed and generation that made it."""
    reason: Reason | None
    message: str | None
    checkpoint_uri: str | None
    weights_sha256: str | None
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class NodeUse:
    """The use of a node by an experiment, at one arm, seed and generation."""

    experiment: str
    key: str
    arm: str
    seed: int
    generation: int
    cached: bool
    """Whether the node was finished when the experiment was submitted."""
    kind: Kind
    state: NodeState
    made_by: str | None


@dataclass(frozen=True)
class Claim:
    """The right to write node `key` until a later claim replaces this one."""

    key: str
    fence: int


@dataclass(frozen=True)
class Standing:
    """Whether a node is finished, and which experiment waits for it.

    `waiting` is the id of an experiment that uses the node and has not ended.
    """

    done: bool
    kept: bool
    """Whether its checkpoint is stored."""
    made_by: str | None
    waiting: str | None


@dataclass(frozen=True)
class EpochRow:
    """The metrics and warnings of one epoch of a generation."""

    id: int
    key: str
    generation: int
    epoch: int
    phase: str
    metrics: dict[str, float]
    warnings: list[str]
    at: float


@dataclass(frozen=True)
class ResultRow:
    """One score of an evaluation with its 95 % interval. `value` is None if the score was not finite."""

    id: int
    key: str
    generation: int
    evaluator: str
    dataset: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    at: float


@dataclass(frozen=True)
class WarningRow:
    """The warnings of one epoch, with the arm, seed and generation of the experiment."""

    arm: str
    seed: int
    generation: int
    epoch: int
    warnings: list[str]


@dataclass(frozen=True)
class Run:
    """A tracking run, and the ids of the last epoch and result rows that were sent to it."""

    experiment: str
    arm: str
    seed: int
    run_id: str
    shipped_epoch: int
    shipped_result: int


@dataclass(frozen=True)
class Begun:
    """An experiment that has started, with its raw spec."""

    id: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A finished node, with its arm and generation in the experiment that made it."""

    key: str
    arm: str
    generation: int
    finished_at: float | None


@dataclass(frozen=True)
class Timing:
    """The result of a timing run. `kind` is the digest of the kind of steps that it timed."""

    id: int
    kind: str
    content: dict[str, Any]
    at: float


@dataclass(frozen=True)
class Shown:
    """A node at one arm, seed and generation of an experiment. `uri` is the URI of its committed checkpoint."""

    experiment: str
    arm: str
    seed: int
    generation: int
    key: str
    kind: Kind
    state: NodeState
    uri: str | None
    finished_at: float | None
    made_by: str | None

    @property
    def place(self) -> tuple[str, str, int, int]:
        """The experiment, arm, seed and generation."""
        return self.experiment, self.arm, self.seed, self.generation


@dataclass(frozen=True)
class Posted:
    """An experiment's resolved spec, and the time when it ended, or None if it has not ended."""

    spec: Mapping[str, Any]
    ended_at: float | None


@dataclass(frozen=True)
class Holdings:
    """A snapshot of the database. `runs` maps the id of an experiment to the ids of its tracking runs."""

    shown: list[Shown]
    experiments: dict[str, Posted]
    runs: dict[str, list[str]]

    @cached_property
    def nodes(self) -> dict[str, Shown]:
        """Maps the key of every node to one of its uses."""
        return {each.key: each for each in self.shown}

    @cached_property
    def used(self) -> set[str]:
        """The keys of all nodes that are used by an experiment that has not ended."""
        return {each.key for each in self.shown if self.experiments[each.experiment].ended_at is None}
