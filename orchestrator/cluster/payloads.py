"""What workers are given to do, as text and plain values. It imports neither torch nor ray."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A segment to train. `keys` are the node keys of generations `first`, `first + 1`, ..."""

    spec: str
    first: int
    keys: tuple[str, ...]
    parent: str | None
    """Directory of the checkpoint that the first generation continues."""
    code_sha256: str | None
    """The digest of the installed package that the method comes from; None for a method of ours."""
    storage: str
    """The folder that all nodes share, in which finished generations are left (`checkpoints.folders`)."""


@dataclass(frozen=True)
class Job:
    """One evaluation; data, model and evaluator as their settings."""

    key: str
    title: str
    checkpoint: str
    """Directory of the checkpoint to evaluate."""
    model: dict[str, Any]
    source: dict[str, Any]
    target: dict[str, Any]
    evaluator: dict[str, Any]


@dataclass(frozen=True)
class RungPayload:
    """A rung segment: generations to train, if any, and then evaluations."""

    task: Task | None
    jobs: list[Job]
