"""Rules for arms: data, training settings, methods, checkpoints and names."""

from collections.abc import Iterator
from functools import cache

from orchestrator.intake.partial import Part, PartialArm, PartialSpec
from orchestrator.intake.rules.common import contradiction, not_prepared, repeated
from orchestrator.problems import Problem
from trainer.core import models
from trainer.core.last_batch import batch_problem
from trainer.spec import TrainSettings


def arm_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Yields the problems of the experiment's data and settings, then those of each arm, then repeated names."""
    yield from not_prepared("/data", spec.data)
    yield from _recipe_problems("/train", spec.train)
    for index, arm in enumerate(spec.arms):
        if arm is not None:
            yield from _own_problems(f"/arms/{index}", arm)
            yield from _kind_problems(f"/arms/{index}", arm)
            yield from _method_problems(f"/arms/{index}/method", arm, spec)
    yield from dict.fromkeys(_batch_problems(spec))
    yield from repeated("/arms/{}/name", [arm.name if arm is not None else None for arm in spec.arms])


def _own_problems(pointer: str, arm: PartialArm) -> Iterator[Problem]:
    """Yields the problems of the arm's own data and training settings."""
    if arm.data is not None:
        yield from not_prepared(f"{pointer}/data", arm.data)
    if arm.train is not None:
        yield from _recipe_problems(f"{pointer}/train", arm.train)


def _recipe_problems(pointer: str, train: Part[TrainSettings]) -> Iterator[Problem]:
    """Yields the contradictions within training settings."""
    if train.value is not None and not train.wrong & {"epochs", "generations", "schedule"}:
        yield from (contradiction(f"{pointer}/{field}", message) for field, message in train.value.problems())


def _kind_problems(pointer: str, arm: PartialArm) -> Iterator[Problem]:
    """Yields a problem unless the arm has either a method or a checkpoint."""
    if arm.method is None and arm.checkpoint is None:
        message = "method is required (or checkpoint, to evaluate an existing one)"
        yield Problem(f"{pointer}/method", "MISSING_FIELD", message)
    if arm.method is not None and arm.checkpoint is not None:
        yield contradiction(f"{pointer}/checkpoint", "an arm has either a method or a checkpoint: leave one out")


def _method_problems(pointer: str, arm: PartialArm, spec: PartialSpec) -> Iterator[Problem]:
    """Yields the settings of the method that do not fit the number of epochs or the network."""
    method, model = arm.method, spec.model_of(arm).value
    if method is None or method.value is None or model is None:
        return
    for field, message in method.value.problems(spec.train_of(arm).field("epochs"), _parameter_names(model)):
        if field not in method.wrong:
            yield contradiction(f"{pointer}/{field}", message)


def _batch_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Yields, for every arm that is trained, a problem of batches that its network cannot normalise."""
    workers = spec.resources.field("workers") or 1
    problem = cache(batch_problem)  # hundreds of arms of a search or grid have the same network and data
    for index, arm in enumerate(spec.arms):
        if arm is None or arm.method is None:
            continue
        model, data, train = spec.model_of(arm).whole, spec.data_of(arm).whole, spec.train_of(arm)
        batch_size, norm = train.field("batch_size"), train.field("batch_norm")
        if model is None or data is None or batch_size is None or norm is None:
            continue
        message = problem(model, data, batch_size, workers, per_worker=norm == "per-worker")
        if message is not None:
            pointer = "/train" if arm.train is None else f"/arms/{index}/train"
            yield contradiction(f"{pointer}/batch_size", message)


@cache
def _parameter_names(model: models.AnyModel) -> list[str]:
    """Returns the names of the network's parameters."""
    return [name for name, _ in models.skeleton(model, classes=2).named_parameters()]
