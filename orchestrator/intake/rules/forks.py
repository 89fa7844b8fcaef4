"""Rules for forks: the generation must exist, and training must be able to continue from it."""

from collections.abc import Iterator
from typing import Any

from orchestrator.intake.partial import Part, PartialArm, PartialFork, PartialSpec
from orchestrator.intake.rules.common import contradiction, unknown_arm
from orchestrator.intake.rules.generations import ancestors, first_generation
from orchestrator.problems import Problem


def fork_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Yields the problems of every fork. `references` checks the generations of earlier experiments."""
    for index, arm in enumerate(spec.arms):
        if arm is not None and arm.fork is not None:
            pointer = f"/arms/{index}/fork"
            yield from _training_problems(pointer, arm, arm.fork, spec)
            if not arm.fork.outside:
                yield from _base_problems(pointer, arm, arm.fork, spec.by_name)
                yield from _ancestor_problems(pointer, arm, arm.fork, spec.by_name)


def _training_problems(pointer: str, arm: PartialArm, fork: PartialFork, spec: PartialSpec) -> Iterator[Problem]:
    """Yields problems if no generation is left to train, or the arm cannot be trained from a fork."""
    generations = spec.train_of(arm).field("generations")
    if generations is not None and fork.generation is not None and generations - 1 <= fork.generation:
        message = f"nothing is left to train after generation {fork.generation}"
        yield contradiction(f"{pointer}/generation", f"{message}: the last of {generations} is {generations - 1}")
    method = arm.method.value if arm.method is not None else None
    if method is not None and method.needs_own_start():
        yield contradiction(pointer, f"{method.name} with these settings must train generation 0 itself")
    if arm.checkpoint is not None:
        yield contradiction(
            pointer, "a checkpoint is only evaluated and cannot be trained: give the arm a method instead"
        )


def _base_problems(
    pointer: str, arm: PartialArm, fork: PartialFork, by_name: dict[str, PartialArm]
) -> Iterator[Problem]:
    """Yields problems if the arm cannot continue from the arm that its fork names."""
    if fork.arm is None:
        return
    base = by_name.get(fork.arm)
    if base is None:
        yield unknown_arm(f"{pointer}/arm", fork.arm, by_name)
    elif any(
        _differ(mine, theirs)
        for mine, theirs in ((arm.data, base.data), (arm.model, base.model), (arm.train, base.train))
    ):
        message = f"{fork.arm!r} is trained with other data, model or settings"
        yield contradiction(f"{pointer}/arm", f"{message}: fork from an arm with the same ones")
    elif base.checkpoint is not None:
        message = f"{fork.arm!r} is a checkpoint, which is only evaluated"
        yield contradiction(f"{pointer}/arm", f"{message}: fork from an arm with a method")


def _ancestor_problems(
    pointer: str, arm: PartialArm, fork: PartialFork, by_name: dict[str, PartialArm]
) -> Iterator[Problem]:
    """Yields problems if the ancestors do not have the generation, or the forks form a circle."""
    if fork.arm is None:
        return
    begin = first_generation(fork.arm, by_name)
    if fork.generation is not None and fork.generation < begin:
        message = f"{fork.arm!r} begins with generation {begin} of an earlier experiment: fork from that or a later one"
        yield contradiction(f"{pointer}/generation", message)
    if arm.name in (before := ancestors(fork.arm, by_name)):
        yield contradiction(
            f"{pointer}/arm", f"{arm.name!r} forks from itself ({' -> '.join(before)}): fork from another arm"
        )


def _differ(mine: Part[Any] | None, theirs: Part[Any] | None) -> bool:
    """Returns whether the own parts of two arms differ. Invalid parts are not compared."""
    if mine is None or theirs is None:
        return mine is not theirs
    return mine.whole is not None and theirs.whole is not None and mine.whole != theirs.whole
