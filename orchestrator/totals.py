"""What a plan costs in epochs, shared and as if every network were trained by itself (protocols section 9)."""

from orchestrator.plan import Plan
from orchestrator.spec import ExperimentSpec


def epochs(spec: ExperimentSpec, plan: Plan) -> dict[str, int]:
    """`shared`: of every generation once. `separate`: of every network that is asked for, trained from its initialisation.

    Asked for are an arm's generations that an evaluation or a table names; of an arm without any, its last.
    """
    of_arm = {arm.name: spec.train_of(arm).epochs for arm in spec.arms if arm.method is not None}
    generations = [node for node in plan.nodes.values() if node.kind == "generation" and node.arm in of_arm]
    last = {arm.name: spec.train_of(arm).generations - 1 for arm in spec.arms}
    asked = {(use.arm, use.seed, use.generation) for use in plan.uses if use.kind == "evaluation"}
    for table in spec.tables:
        for _, _, cell in table.cells():
            arm = str(cell.arm)
            asked |= {(arm, seed, last[arm] if cell.generation is None else cell.generation) for seed in spec.seeds}
    asked |= {
        (arm, seed, last[arm]) for arm in of_arm for seed in spec.seeds if not any(each[:2] == (arm, seed) for each in asked)
    }
    return {
        "separate": sum((generation + 1) * of_arm[arm] for arm, _, generation in asked if arm in of_arm),
        "shared": sum(of_arm[node.arm] for node in generations),
    }
