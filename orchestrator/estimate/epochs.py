"""What a plan costs in epochs, shared and as if every network were trained by itself (protocols section 9)."""

from collections import Counter

from orchestrator.plan import Plan
from orchestrator.spec import ExperimentSpec


def epochs(spec: ExperimentSpec, plan: Plan) -> dict[str, int]:
    """`shared`: of every generation once. `separate`: of every network that is asked for, trained from its initialisation."""
    of_arm = {arm.name: spec.train_of(arm).epochs for arm in spec.arms if arm.method is not None}
    generations = [
        node for node in plan.nodes.values() if node.kind == "generation" and node.arm in of_arm and not node.elsewhere
    ]
    return {
        "separate": sum(count * of_arm[arm] for arm, count in separate(spec, plan).items()),
        "shared": sum(of_arm[node.arm] for node in generations),
    }


def separate(spec: ExperimentSpec, plan: Plan) -> Counter[str]:
    """By arm with a method: the generations that its networks take, each trained from its initialisation.

    Asked for are an arm's generations that an evaluator judges. The accuracy while training is measured in passing, so a
    table's cell of `training` asks for a network only where no other of its arm comes as far. Of an arm without any, the last
    generation is asked for.
    """
    last = {arm.name: spec.train_of(arm).generations - 1 for arm in spec.arms if arm.method is not None}
    asked: dict[tuple[str, int], set[int]] = {(arm, seed): set() for arm in last for seed in spec.seeds}
    for use in plan.uses:
        if use.kind == "evaluation" and use.arm in last:
            asked[use.arm, use.seed].add(use.generation)
    passed = _passed(spec, last)
    for (arm, _), judged in asked.items():
        furthest = passed.get(arm, -1) if judged else passed.get(arm, last[arm])
        if furthest > max(judged, default=-1):
            judged.add(furthest)
    found: Counter[str] = Counter()
    for (arm, _), judged in asked.items():
        found[arm] += sum(generation + 1 for generation in judged)
    return found


def _passed(spec: ExperimentSpec, last: dict[str, int]) -> dict[str, int]:
    """By arm the furthest generation of which a table shows the accuracy while training."""
    found: dict[str, int] = {}
    for table in spec.tables:
        for _, _, cell in table.cells():
            if cell.evaluator == "training" and cell.arm in last:
                generation = last[cell.arm] if cell.generation is None else cell.generation
                found[cell.arm] = max(generation, found.get(cell.arm, -1))
    return found
