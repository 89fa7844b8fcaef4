"""The payloads that the driver sends to its workers, made of text and plain values.

This module imports neither torch nor ray.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A segment to train. `keys` are the node keys of generations `first`, `first + 1`, and so on."""

    spec: str
    """The `trainer.spec.TrainSpec` as JSON."""
    first: int
    keys: tuple[str, ...]
    parent: str | None
    """The directory of the checkpoint that the first generation continues; None for generation 0."""
    code_sha256: str | None
    """The digest of the installed package that the method comes from; None for a built-in method."""
    storage: str
    """The folder that all cluster nodes share, where finished checkpoints are written (`checkpoints.folders`)."""


@dataclass(frozen=True)
class Job:
    """One evaluation. `model`, `source`, `target` and `evaluator` are the settings of each."""

    key: str
    title: str
    checkpoint: str
    """The directory of the checkpoint to evaluate."""
    model: dict[str, Any]
    source: dict[str, Any]
    target: dict[str, Any]
    evaluator: dict[str, Any]


@dataclass(frozen=True)
class RungPayload:
    """The payload of a rung segment: generations to train, if any, and then evaluations."""

    task: Task | None
    jobs: list[Job]
