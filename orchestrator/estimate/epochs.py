"""The cost of a plan in epochs: with shared generations, and as if every network were trained by itself.

Section 9 of the protocols defines both totals.
"""

from collections import Counter

from orchestrator.plan import Plan
from orchestrator.spec import ExperimentSpec


def epoch_totals(spec: ExperimentSpec, plan: Plan) -> dict[str, int]:
    """Returns the two totals in epochs.

    `shared` counts every generation once. `separate` counts every requested network from its initialisation.
    """
    epochs_of = {arm.name: spec.train_of(arm).epochs for arm in spec.arms if arm.method is not None}
    trained = [
        node
        for node in plan.nodes.values()
        if node.kind == "generation" and node.arm in epochs_of and not node.elsewhere
    ]
    return {
        "separate": sum(count * epochs_of[arm] for arm, count in separate_generations(spec, plan).items()),
        "shared": sum(epochs_of[node.arm] for node in trained),
    }


def separate_generations(spec: ExperimentSpec, plan: Plan) -> Counter[str]:
    """Counts, by arm with a method, the generations that train each requested network from its initialisation.

    The requested networks of an arm are those that an evaluator evaluates. The accuracy while training needs no
    network of its own, so a table cell for `training` requests a network only if no evaluated one of its arm is as
    late. If nothing of an arm is requested, its last generation counts as requested.
    """
    last = {arm.name: spec.train_of(arm).generations - 1 for arm in spec.arms if arm.method is not None}
    requested: dict[tuple[str, int], set[int]] = {(arm, seed): set() for arm in last for seed in spec.seeds}
    for use in plan.uses:
        if use.kind == "evaluation" and use.arm in last:
            requested[use.arm, use.seed].add(use.generation)
    shown = _last_shown_training(spec, last)
    for (arm, _), generations in requested.items():
        furthest = shown.get(arm, -1) if generations else shown.get(arm, last[arm])
        if furthest > max(generations, default=-1):
            generations.add(furthest)
    counts: Counter[str] = Counter()
    for (arm, _), generations in requested.items():
        counts[arm] += sum(generation + 1 for generation in generations)
    return counts


def _last_shown_training(spec: ExperimentSpec, last: dict[str, int]) -> dict[str, int]:
    """Returns, by arm, the last generation of which a table shows the accuracy while training."""
    found: dict[str, int] = {}
    for table in spec.tables:
        for _, _, cell in table.cells():
            if cell.evaluator == "training" and cell.arm in last:
                generation = last[cell.arm] if cell.generation is None else cell.generation
                found[cell.arm] = max(generation, found.get(cell.arm, -1))
    return found
