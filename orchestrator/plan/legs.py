"""What is worth training next while a search runs."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from orchestrator.plan import halving
from orchestrator.plan.graph import Node
from orchestrator.plan.search import Trials, Values


@dataclass(frozen=True)
class Leg:
    """A piece of a trial for one seed: generations to train, in order, and objectives to judge."""

    trial: str
    seed: int
    train: tuple[Node, ...]
    judge: tuple[Node, ...]

    @property
    def title(self) -> str:
        last = (*self.train, *self.judge)[-1].generation
        return f"{self.trial}-seed{self.seed}-to-g{last}"


class Legs:
    """What is to be done next in a search, while it runs.

    `done` and `failed` are the driver's and change under it. `read` gives all objectives that are known, and `claim` the right
    to make a node, which `put_back` gives up.
    """

    def __init__(
        self,
        trials: Trials,
        done: Collection[str],
        failed: Collection[str],
        read: Callable[[], Values],
        claim: Callable[[str], bool],
        put_back: Callable[[Iterable[str]], None],
    ) -> None:
        self._trials, self._done, self._failed, self._read = trials, done, failed, read
        self._claim, self._put_back = claim, put_back
        self._values = read()
        self._waiting: list[tuple[str, int, int]] = []
        """Trial, seed, and the generation to come to."""
        self._running: dict[tuple[str, int], tuple[Leg, int]] = {}
        """By trial and seed: the leg, and the generation that it comes to."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do, now or later."""
        return not self._running and not self._waiting and not self._climbs()

    def next(self) -> Leg | None:
        """The most promising leg whose nodes are free; None where all wait for others."""
        while True:
            for one in list(self._waiting):
                trial, seed, to = one
                if self._lost(trial) or self._trials.objectives[trial, seed][to].key in self._values:
                    self._waiting.remove(one)
                elif (leg := self._claimed(trial, seed, to)) is not None:
                    self._waiting.remove(one)
                    self._running[trial, seed] = leg, to
                    return leg
            climbs = self._climbs()
            if not climbs:
                return None
            self._waiting += ((climbs[0].trial, seed, climbs[0].to) for seed in self._trials.seeds)

    def ended(self, leg: Leg) -> None:
        """The leg was run, well or badly, and what it found is stored."""
        del self._running[leg.trial, leg.seed]
        self._values = self._read()

    def _climbs(self) -> list[halving.Climb]:
        trials = self._trials
        out = [trial for trial in trials.distinct if self._lost(trial)]
        climbing = {leg.trial: to for leg, to in self._running.values()} | {trial: to for trial, _, to in self._waiting}
        return halving.climbs(trials.ladder, trials.distinct, trials.scores(self._values), climbing, out)

    def _claimed(self, trial: str, seed: int, to: int) -> Leg | None:
        """What is missing up to generation `to`, claimed as a whole; None where others are at a part of it."""
        busy = {node.key for leg, _ in self._running.values() for node in (*leg.train, *leg.judge)}
        generations, objectives = self._trials.generations[trial, seed], self._trials.objectives[trial, seed]
        if objectives[to].key in busy:
            return None
        at_hand = [
            generation for generation, node in generations.items() if generation <= to and node.key in self._done
        ]
        train = [node for generation, node in generations.items() if max(at_hand, default=-1) < generation <= to]
        there = {*at_hand, *(node.generation for node in train)}
        known = {*self._values, *self._done, *busy}
        judge = [node for generation, node in objectives.items() if generation in there and node.key not in known]
        wanted = [node.key for node in (*train, *judge)]
        blocked = next((key for key in wanted if not self._claim(key)), None)
        if blocked is None:
            return Leg(trial, seed, tuple(train), tuple(judge))
        self._put_back(wanted[: wanted.index(blocked)])  # or two searches could wait for each other
        if blocked not in self._done:
            return None
        self._values = self._read()  # another experiment has made it meanwhile: look again at what is left
        return self._claimed(trial, seed, to) if objectives[to].key not in self._values else None

    def _lost(self, trial: str) -> bool:
        rows = [(trial, seed) for seed in self._trials.seeds]
        nodes = (
            node
            for row in rows
            for each in (self._trials.generations, self._trials.objectives)
            for node in each[row].values()
        )
        return any(node.key in self._failed for node in nodes)
