"""Rules for the size of an experiment: workers and GPUs, seeds, and the total number of generations."""

from collections.abc import Iterator

from orchestrator.intake.partial import PartialSpec
from orchestrator.intake.rules.common import contradiction, repeated
from orchestrator.problems import Problem

MAX_NODES = 100_000
"""The number of generations that one experiment may request."""


def resource_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Yields problems of workers that cannot share a batch or GPU, of repeated seeds, and of too many generations."""
    resources, arms = spec.resources.value, [arm for arm in spec.arms if arm is not None]
    recipes = [spec.train, *(spec.train_of(arm) for arm in arms)]
    smallest = min((train.value.batch_size for train in recipes if train.value is not None), default=None)
    if resources is not None and smallest is not None and resources.workers > smallest:
        message = f"{resources.workers} workers cannot share batches of {smallest}: use at most as many"
        yield contradiction("/resources/workers", message)
    if resources is not None and resources.workers > 1 and 0 < resources.gpus < 1:
        yield contradiction("/resources/gpus", "several workers need a whole GPU each: use at least 1, or one worker")
    yield from repeated("/seeds/{}", spec.seeds)
    total = sum(spec.train_of(arm).field("generations") or 0 for arm in arms) * len(spec.seeds)
    if total > MAX_NODES:
        message = f"{total} generations are requested (arms x seeds x generations): request at most {MAX_NODES}"
        yield contradiction("", message)
