"""Chooses what to train next while a search runs."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from orchestrator.plan import halving
from orchestrator.plan.graph import Node
from orchestrator.plan.search import Trials, Values
from orchestrator.states import Reason


class Ledger(Protocol):
    """The part of `driver.ledger.NodeLedger` that a search uses. `done` and `failed` are live views."""

    @property
    def done(self) -> AbstractSet[str]: ...
    @property
    def failed(self) -> Mapping[str, Reason]: ...
    def claim_all(self, keys: Sequence[str]) -> bool: ...


@dataclass(frozen=True)
class RungSegment:
    """The work that brings one trial to a rung for one seed: first training, then the evaluation of objectives."""

    trial: str
    seed: int
    train: tuple[Node, ...]
    evaluate: tuple[Node, ...]

    @property
    def title(self) -> str:
        """Its name in the Ray dashboard."""
        last = (*self.train, *self.evaluate)[-1].generation
        return f"{self.trial}-seed{self.seed}-to-g{last}"

    @property
    def keys(self) -> list[str]:
        """The keys of its nodes, in the order in which they are done."""
        return [node.key for node in (*self.train, *self.evaluate)]


class RungSchedule:
    """Chooses the next segments of a running search. `read` returns all objectives that are known."""

    def __init__(self, trials: Trials, ledger: Ledger, read: Callable[[], Values]) -> None:
        self._trials, self._ledger, self._read = trials, ledger, read
        self._values = read()
        self._waiting: list[tuple[str, int, int]] = []
        """The trial, the seed, and the generation that the promotion allows."""
        self._running: dict[tuple[str, int], tuple[RungSegment, int]] = {}
        """For each trial and seed: the running segment, and the generation at its end."""

    @property
    def over(self) -> bool:
        """Whether the search has nothing left to do, now or later."""
        return not self._running and not self._waiting and not self._promotions()

    def next(self) -> RungSegment | None:
        """Claims and returns the most promising segment whose nodes are free.

        Returns None if every segment has to wait for another.
        """
        while True:
            for one in list(self._waiting):
                trial, seed, to = one
                if self._lost(trial) or self._trials.objectives[trial, seed][to].key in self._values:
                    self._waiting.remove(one)
                elif (segment := self._claimed(trial, seed, to)) is not None:
                    self._waiting.remove(one)
                    self._running[trial, seed] = segment, to
                    return segment
            promotions = self._promotions()
            if not promotions:
                return None
            self._waiting += ((promotions[0].trial, seed, promotions[0].to) for seed in self._trials.seeds)

    def ended(self, segment: RungSegment) -> None:
        """Marks the segment as ended, with or without success, and reads the objectives again."""
        del self._running[segment.trial, segment.seed]
        self._values = self._read()

    def _promotions(self) -> list[halving.Promotion]:
        trials = self._trials
        out = [trial for trial in trials.distinct if self._lost(trial)]
        training = {one.trial: to for one, to in self._running.values()} | {trial: to for trial, _, to in self._waiting}
        return halving.promotions(trials.ladder, trials.distinct, trials.scores(self._values), training, out)

    def _claimed(self, trial: str, seed: int, to: int) -> RungSegment | None:
        """Claims and returns everything that is missing up to generation `to`.

        Returns None if a part of it is being done elsewhere.
        """
        busy = {key for segment, _ in self._running.values() for key in segment.keys}
        generations, objectives = self._trials.generations[trial, seed], self._trials.objectives[trial, seed]
        if objectives[to].key in busy:
            return None
        done = self._ledger.done
        at_hand = [generation for generation, node in generations.items() if generation <= to and node.key in done]
        train = [node for generation, node in generations.items() if max(at_hand, default=-1) < generation <= to]
        there = {*at_hand, *(node.generation for node in train)}
        known = {*self._values, *done, *busy}
        evaluate = [node for generation, node in objectives.items() if generation in there and node.key not in known]
        segment = RungSegment(trial, seed, tuple(train), tuple(evaluate))
        if self._ledger.claim_all(segment.keys):
            return segment
        if self._ledger.done.isdisjoint(segment.keys):
            return None
        self._values = self._read()  # another experiment has finished a part of it since, so less is missing now
        return self._claimed(trial, seed, to) if objectives[to].key not in self._values else None

    def _lost(self, trial: str) -> bool:
        rows = [(trial, seed) for seed in self._trials.seeds]
        nodes = (
            node
            for row in rows
            for each in (self._trials.generations, self._trials.objectives)
            for node in each[row].values()
        )
        return any(node.key in self._ledger.failed for node in nodes)
