"""Builds the payloads for an attempt's workers: segments to train, and checkpoints to evaluate."""

from pathlib import Path

from orchestrator.checkpoints.finished import finished
from orchestrator.cluster.payloads import Job, Task
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.committer import Stopped
from orchestrator.plan import Node, Segment
from trainer import methods


def task_of(attempt: Attempt, segment: Segment) -> Task:
    """Returns the training task of a segment whose parent is done."""
    first = segment.nodes[0]
    arm = attempt.spec.arm(first.arm)
    assert arm.method is not None
    plugin = methods.PLUGINS.get(arm.method.name)
    return Task(
        spec=attempt.spec.train_spec(arm, first.seed).model_dump_json(),
        first=first.generation,
        keys=tuple(node.key for node in segment.nodes),
        parent=str(_checkpoint(attempt, segment.parent)) if segment.parent else None,
        code_sha256=plugin.code_sha256 if plugin else None,
        storage=str(attempt.folders.storage),
    )


def job_of(attempt: Attempt, node: Node, folder: Path | None = None) -> Job:
    """Returns the job of an evaluation node.

    `folder` is where the checkpoint will be once it is trained. By default the parent is done, and its checkpoint is
    used.
    """
    assert node.parent is not None
    assert node.evaluator is not None
    assert node.target is not None
    arm = attempt.spec.arm(node.arm)
    return Job(
        key=node.key,
        title=node.title,
        checkpoint=str(folder or _checkpoint(attempt, node.parent)),
        model=attempt.spec.model_of(arm).model_dump(mode="json"),
        source=attempt.spec.data_of(arm).model_dump(mode="json"),
        target=node.target,
        evaluator=node.evaluator,
    )


def _checkpoint(attempt: Attempt, key: str) -> Path:
    """Returns the directory of a finished generation's checkpoint.

    If it is not on shared storage, it is downloaded from the tracking server.
    """
    if finished(attempt.folders, key):
        return attempt.folders.checkpoint(key)
    try:
        return attempt.committer.fetch(attempt.ledger.checkpoint_uri(key), attempt.folders.fetched(key))
    except Stopped:
        attempt.leave()
