"""The trials of a search: their nodes in the plan, and their scores.

Everything is computed from the nodes and their stored results, so a driver, its successor after a crash and the API all
come to the same answer.
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
"""The objective by the key of its evaluation. It is None if the score was not finite."""


class Trials:
    """The trials of a spec whose search is written out.

    Trials with equal nodes count as one distinct trial, which the first of them represents.
    """

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
        """For each trial, by name: the distinct trial that represents it."""
        for arm in arms:
            keys = tuple(node.key for seed in spec.seeds for node in self.generations[arm.name, seed].values())
            self.same[arm.name] = first.setdefault(keys, arm.name)

    @property
    def distinct(self) -> list[str]:
        """The names of the distinct trials, in order."""
        return [trial for trial, first in self.same.items() if trial == first]

    @property
    def objective_keys(self) -> set[str]:
        """The keys of all evaluations that compute the objective of a trial."""
        return {node.key for nodes in self.objectives.values() for node in nodes.values()}

    def own(self, plan: Plan) -> set[str]:
        """Returns the keys of the generations that only one distinct trial needs.

        `plan` is the plan of the whole experiment.
        """
        users: dict[str, set[str]] = {}
        for use in plan.uses:
            users.setdefault(use.key, set()).add(self.same.get(use.arm, use.arm))
        mine = {node.key for nodes in self.generations.values() for node in nodes.values()}
        return {key for key in mine if len(users[key]) == 1}

    def scores(self, values: Values) -> dict[str, dict[int, float]]:
        """Returns the mean objective over the seeds, by distinct trial and by generation.

        Only generations that are evaluated for all seeds are included. The sign is chosen so that more is better, and a
        score that is not finite becomes minus infinity.
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
        """Returns the distinct trials that won the search, best first."""
        return halving.kept(self.ladder, self.distinct, self.scores(values))

    def unwanted(self, plan: Plan, values: Values) -> set[str]:
        """Returns the keys of the nodes in `plan` that only trials need which did not win."""
        kept = self.kept(values)
        wanted = {use.key for use in plan.uses if use.arm not in self.same or self.same[use.arm] in kept}
        return plan.nodes.keys() - wanted

    def excused(self, plan: Plan, failed: Mapping[str, Reason], values: Values) -> set[str]:
        """Returns the keys of the nodes in `failed` (reason by key) that do not fail the experiment.

        Settings under which the loss diverges are a valid result, as long as other trials have won.
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
