"""The trials of a search: their nodes in the plan, what each of them scored, and what is worth training next.

Nothing here is stored beside the nodes and their results, so whoever asks (a driver, its successor after a crash, the API)
comes to the same answer.
"""

import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from orchestrator import halving
from orchestrator import plan as planning
from orchestrator.plan import Node, Plan
from orchestrator.spec import Evaluation, ExperimentSpec

Values = Mapping[str, float | None]
"""The objective by the key of its evaluation; None where the score was not finite."""


class Trials:
    """Of a spec whose search is written out. Trials with equal nodes are one: the first of them stands for all."""

    def __init__(self, spec: ExperimentSpec) -> None:
        assert spec.search is not None
        self.search = search = spec.search
        arms = tuple(spec.arm(name) for name in search.arms)
        self.ladder = search.ladder(spec.train_of(arms[0]).generations)
        objective = Evaluation(evaluator=search.objective.evaluator, on=("every",))
        plan = planning.plan(spec.model_copy(update={"arms": arms, "evaluations": (objective,)}))
        self.generations: dict[tuple[str, int], dict[int, Node]] = {(arm.name, seed): {} for arm in arms for seed in spec.seeds}
        self.objectives: dict[tuple[str, int], dict[int, Node]] = {row: {} for row in self.generations}
        for use in plan.uses:
            nodes = self.objectives if use.kind == "evaluation" else self.generations
            nodes[use.arm, use.seed][use.generation] = plan.nodes[use.key]
        self.seeds = spec.seeds
        first: dict[tuple[str, ...], str] = {}
        self.same: dict[str, str] = {}
        """By trial: the one that stands for it."""
        for arm in arms:
            keys = tuple(node.key for seed in spec.seeds for node in self.generations[arm.name, seed].values())
            self.same[arm.name] = first.setdefault(keys, arm.name)

    @property
    def distinct(self) -> list[str]:
        """Each trial that stands for itself."""
        return [trial for trial, first in self.same.items() if trial == first]

    @property
    def objective_keys(self) -> set[str]:
        return {node.key for nodes in self.objectives.values() for node in nodes.values()}

    def own(self, plan: Plan) -> set[str]:
        """Keys of the generations that one distinct trial needs and nothing else in the whole experiment's plan does."""
        users: dict[str, set[str]] = {}
        for use in plan.uses:
            users.setdefault(use.key, set()).add(self.same.get(use.arm, use.arm))
        mine = {node.key for nodes in self.generations.values() for node in nodes.values()}
        return {key for key in mine if len(users[key]) == 1}

    def scores(self, values: Values) -> dict[str, dict[int, float]]:
        """By distinct trial and generation: the mean over the seeds where all are judged, turned so that more is better.

        A score that is not finite is worse than every other.
        """
        found: dict[str, dict[int, float]] = {}
        for trial in self.distinct:
            of_seeds = [self.objectives[trial, seed] for seed in self.seeds]
            found[trial] = {
                generation: self._mean([values[nodes[generation].key] for nodes in of_seeds])
                for generation in of_seeds[0]
                if all(generation in nodes and nodes[generation].key in values for nodes in of_seeds)
            }
        return found

    def kept(self, values: Values) -> list[str]:
        """The trials that have won, best first."""
        return halving.kept(self.ladder, self.distinct, self.scores(values))

    def unwanted(self, plan: Plan, values: Values) -> set[str]:
        """Keys of everything in `plan` that only trials need that have not won."""
        kept = self.kept(values)
        wanted = {use.key for use in plan.uses if use.arm not in self.same or self.same[use.arm] in kept}
        return plan.nodes.keys() - wanted

    def excused(self, plan: Plan, failed: Mapping[str, str], values: Values) -> set[str]:
        """Those of the `failed` nodes (reason by key) that are not the experiment's failure.

        Settings under which the loss diverges are an answer, as long as other trials have won.
        """
        if not self.kept(values):
            return set()
        diverged = {key for key in self.own(plan) if failed.get(key) == "DIVERGED"}
        for key, node in plan.nodes.items():  # parents come first
            if failed.get(key) == "DEPENDENCY" and node.parent in diverged:
                diverged.add(key)
        return diverged

    def _mean(self, values: list[float | None]) -> float:
        numbers = [value for value in values if value is not None]
        return self.search.sign * statistics.fmean(numbers) if len(numbers) == len(values) else -math.inf


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
        at_hand = [generation for generation, node in generations.items() if generation <= to and node.key in self._done]
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
            node for row in rows for each in (self._trials.generations, self._trials.objectives) for node in each[row].values()
        )
        return any(node.key in self._failed for node in nodes)
