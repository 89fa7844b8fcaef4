"""What the store answers: frozen records with typed states. All times are in seconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.plan.graph import Kind
from orchestrator.states import ExperimentState, NodeState, Reason


@dataclass(frozen=True)
class Experiment:
    """An experiment as it stands. `spec` is raw, because it may have been posted under other code."""

    id: str
    name: str
    spec: dict[str, Any]
    plan: dict[str, Any]
    """By kind of node: how many the spec requested, how many differ, and how many were done already."""
    state: ExperimentState
    reason: Reason | None
    message: str | None
    attempt: int
    """Number of the latest attempt; 0 before the first."""
    alive_at: float | None
    """When the attempt last reported."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    published: bool
    """Whether its runs in the tracking server have their final status."""


@dataclass(frozen=True)
class StoredNode:
    """A node of the plan as it stands, whichever experiments show it."""

    key: str
    kind: Kind
    state: NodeState
    fence: int
    """Number of the latest claim."""
    owner: str | None
    """The experiment that holds or held the latest claim."""
    made_by: str | None
    """Experiment, arm, seed and generation that made it."""
    reason: Reason | None
    message: str | None
    checkpoint_uri: str | None
    weights_sha256: str | None
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class NodeUse:
    """A node in the place where an experiment shows it."""

    experiment: str
    key: str
    arm: str
    seed: int
    generation: int
    cached: bool
    """Whether it was done when the experiment was submitted."""
    kind: Kind
    state: NodeState
    made_by: str | None


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
    """Whether its checkpoint is kept."""
    made_by: str | None
    waiting: str | None


@dataclass(frozen=True)
class EpochRow:
    """What one epoch of a generation measured, and the warnings that it gave."""

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
    """One score of an evaluation with its 95 % interval; `value` is None where the score was not finite."""

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
    """The warnings of one epoch in the place where an experiment shows its generation."""

    arm: str
    seed: int
    generation: int
    epoch: int
    warnings: list[str]


@dataclass(frozen=True)
class Run:
    """A run in the tracking server, and the ids of the last epoch and result rows that it has."""

    experiment: str
    arm: str
    seed: int
    run_id: str
    shipped_epoch: int
    shipped_result: int


@dataclass(frozen=True)
class Begun:
    """An experiment that has begun, with its raw spec."""

    id: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A finished node in the place where the experiment that made it shows it."""

    key: str
    arm: str
    generation: int
    finished_at: float | None


@dataclass(frozen=True)
class Timing:
    """What a timing run found of one kind of steps; `kind` is the digest that names the kind."""

    id: int
    kind: str
    content: dict[str, Any]
    at: float


@dataclass(frozen=True)
class Shown:
    """A node where an experiment shows it; `uri` is where its committed checkpoint lies."""

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
        """Experiment, arm, seed and generation."""
        return self.experiment, self.arm, self.seed, self.generation


@dataclass(frozen=True)
class Posted:
    """An experiment's resolved spec, and when it ended; None while it has not."""

    spec: Mapping[str, Any]
    ended_at: float | None


@dataclass(frozen=True)
class Holdings:
    """What the database holds at one moment. `runs` are the tracking server's run ids by experiment."""

    shown: list[Shown]
    experiments: dict[str, Posted]
    runs: dict[str, list[str]]

    @cached_property
    def nodes(self) -> dict[str, Shown]:
        """Every node by key, as one of the experiments shows it."""
        return {each.key: each for each in self.shown}

    @cached_property
    def used(self) -> set[str]:
        """The keys of every node that an experiment shows which has not ended."""
        return {each.key for each in self.shown if self.experiments[each.experiment].ended_at is None}
