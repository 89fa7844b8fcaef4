"""What the store answers, as typed rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """A node where an experiment shows it; `uri` is where its committed checkpoint lies, times are seconds since the epoch."""

    experiment: str
    arm: str
    seed: int
    generation: int
    key: str
    kind: str
    state: str
    uri: str | None
    finished_at: float | None
    made_by: str | None


class Posted(NamedTuple):
    """An experiment's resolved spec, and when it ended; None while it has not."""

    spec: Mapping[str, Any]
    ended_at: float | None


@dataclass(frozen=True)
class Holdings:
    """What the database says at one moment. `runs` are the tracking server's run ids by experiment."""

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
