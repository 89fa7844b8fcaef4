"""The evaluations of an attempt, on Ray Tune."""

from pathlib import Path
from typing import Any

from orchestrator.cluster import tune
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.committer import made_by
from orchestrator.plan import Node
from orchestrator.states import NodeState, Reason


def judge(attempt: Attempt) -> None:
    """Makes every evaluation that is not made, and waits for those that another experiment makes."""
    over = attempt.done | attempt.given_up
    waiting = {key: node for key, node in attempt.plan.nodes.items() if node.kind == "evaluation" and key not in over}
    for key, node in list(waiting.items()):
        if node.parent in attempt.failed:
            attempt.failed[key] = Reason.DEPENDENCY
            del waiting[key]
    round_ = 0
    while waiting and not attempt.stopping.is_set():
        jobs = [job_of(attempt, node) for key, node in waiting.items() if attempt.claim(key)]
        if jobs:
            round_ += 1
            tune.evaluate(
                f"{attempt.name}-evaluate{round_}",
                jobs,
                attempt.spec.resources,
                attempt.settings.storage,
                lambda key, record: evaluated(attempt, key, record),
                lambda key, why: attempt.fail({key}, Reason.USER_ERROR, why),
                attempt.settings.features_gib,
            )
        else:
            attempt.stopping.wait(1.0)  # another experiment is at them
            attempt.done |= {key for key, node in attempt.nodes().items() if node.state == NodeState.SUCCEEDED}
        waiting = {key: node for key, node in waiting.items() if key not in attempt.done and key not in attempt.failed}


def job_of(attempt: Attempt, node: Node, folder: Path | None = None) -> tune.Job:
    """The evaluation of a checkpoint in `folder`, by default of one that is there already."""
    assert node.parent is not None
    assert node.evaluator is not None
    assert node.target is not None
    arm = attempt.spec.arm(node.arm)
    return tune.Job(
        key=node.key,
        title=node.title,
        checkpoint=str(folder or attempt.checkpoint(node.parent)),
        model=attempt.spec.model_of(arm).model_dump(mode="json"),
        source=attempt.spec.data_of(arm).model_dump(mode="json"),
        target=node.target,
        evaluator=node.evaluator,
    )


def evaluated(attempt: Attempt, key: str, record: dict[str, Any]) -> None:
    """Stores what a trial found."""
    node = attempt.plan.nodes[key]
    assert node.evaluator is not None
    what = made_by(attempt.experiment, node), node.evaluator["name"], node.target_label
    attempt.store.finish_evaluation(attempt.claims[key], *what, record["scores"], record["curves"], record["details"])
    attempt.done.add(key)
