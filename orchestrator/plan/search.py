"""The trials of a search: their nodes in the plan, and what each of them scored.

Nothing here is stored beside the nodes and their results, so whoever asks (a driver, its successor after a crash, the API)
comes to the same answer.
"""

import math
import statistics
from collections.abc import Mapping

from orchestrator.plan import halving
from orchestrator.plan.graph import Node, Plan
from orchestrator.plan.keys import plan
from orchestrator.spec import Evaluation, ExperimentSpec
from orchestrator.states import Reason

Values = Mapping[str, float | None]
"""The objective by the key of its evaluation; None where the score was not finite."""


class Trials:
    """The trials of a spec whose search is written out. Those with equal nodes are one: the first of them stands for all."""

    def __init__(self, spec: ExperimentSpec) -> None:
        assert spec.search is not None
        self.search = search = spec.search
        arms = tuple(spec.arm(name) for name in search.arms)
        self.ladder = search.ladder(spec.train_of(arms[0]).generations)
        objective = Evaluation(evaluator=search.objective.evaluator, on=("every",))
        planned = plan(spec.model_copy(update={"arms": arms, "evaluations": (objective,)}))
        self.generations: dict[tuple[str, int], dict[int, Node]] = {
            (arm.name, seed): {} for arm in arms for seed in spec.seeds
        }
        self.objectives: dict[tuple[str, int], dict[int, Node]] = {row: {} for row in self.generations}
        for use in planned.uses:
            nodes = self.objectives if use.kind == "evaluation" else self.generations
            nodes[use.arm, use.seed][use.generation] = planned.nodes[use.key]
        self.seeds = spec.seeds
        first: dict[tuple[str, ...], str] = {}
        self.same: dict[str, str] = {}
        """By trial: the one that stands for it."""
        for arm in arms:
            keys = tuple(node.key for seed in spec.seeds for node in self.generations[arm.name, seed].values())
            self.same[arm.name] = first.setdefault(keys, arm.name)

    @property
    def distinct(self) -> list[str]:
        """The trials that stand for themselves."""
        return [trial for trial, first in self.same.items() if trial == first]

    @property
    def objective_keys(self) -> set[str]:
        """The keys of every evaluation that gives the objective of a trial."""
        return {node.key for nodes in self.objectives.values() for node in nodes.values()}

    def own(self, plan: Plan) -> set[str]:
        """Keys of the generations that one distinct trial needs and nothing else in the whole experiment's plan does."""
        users: dict[str, set[str]] = {}
        for use in plan.uses:
            users.setdefault(use.key, set()).add(self.same.get(use.arm, use.arm))
        mine = {node.key for nodes in self.generations.values() for node in nodes.values()}
        return {key for key in mine if len(users[key]) == 1}

    def scores(self, values: Values) -> dict[str, dict[int, float]]:
        """By distinct trial and generation: the mean over the seeds where all are evaluated, turned so that more is better.

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

    def excused(self, plan: Plan, failed: Mapping[str, Reason], values: Values) -> set[str]:
        """The keys of those `failed` nodes (reason by key) that are not the experiment's failure.

        Settings under which the loss diverges are an answer, as long as other trials have won.
        """
        if not self.kept(values):
            return set()
        diverged = {key for key in self.own(plan) if failed.get(key) == Reason.DIVERGED}
        for key, node in plan.nodes.items():  # parents come first
            if failed.get(key) == Reason.DEPENDENCY and node.parent in diverged:
                diverged.add(key)
        return diverged

    def _mean(self, values: list[float | None]) -> float:
        numbers = [value for value in values if value is not None]
        return self.search.sign * statistics.fmean(numbers) if len(numbers) == len(values) else -math.inf
