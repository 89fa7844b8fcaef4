"""What an arm goes on from."""

from collections.abc import Iterator
from typing import Any

from orchestrator.intake.partial import Part, PartialArm, PartialFork, PartialSpec
from orchestrator.intake.rules.common import contradiction, unknown_arm
from orchestrator.intake.rules.generations import first, line
from orchestrator.problems import Problem


def fork_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Problems of every arm that goes on from another; `references` looks for generations of earlier experiments."""
    for index, arm in enumerate(spec.arms):
        if arm is not None and arm.fork is not None:
            pointer = f"/arms/{index}/fork"
            yield from _training_problems(pointer, arm, arm.fork, spec)
            if not arm.fork.outside:
                yield from _base_problems(pointer, arm, arm.fork, spec.by_name)
                yield from _line_problems(pointer, arm, arm.fork, spec.by_name)


def _training_problems(pointer: str, arm: PartialArm, fork: PartialFork, spec: PartialSpec) -> Iterator[Problem]:
    """Whether anything is left to train, and can be."""
    generations = spec.train_of(arm).field("generations")
    if generations is not None and fork.generation is not None and generations - 1 <= fork.generation:
        message = f"nothing is left to train after generation {fork.generation}"
        yield contradiction(f"{pointer}/generation", f"{message}: the last of {generations} is {generations - 1}")
    method = arm.method.value if arm.method is not None else None
    if method is not None and method.needs_own_start():
        yield contradiction(pointer, f"{method.name} with these settings must train generation 0 itself")
    if arm.checkpoint is not None:
        yield contradiction(pointer, "a checkpoint is judged, not trained on: give the arm a method instead")


def _base_problems(
    pointer: str, arm: PartialArm, fork: PartialFork, by_name: dict[str, PartialArm]
) -> Iterator[Problem]:
    """Whether it can go on from the arm that it names."""
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
        yield contradiction(f"{pointer}/arm", f"{message}: an arm goes on from one that has the same")
    elif base.checkpoint is not None:
        yield contradiction(f"{pointer}/arm", f"{fork.arm!r} is a checkpoint, which is judged and not trained on")


def _line_problems(
    pointer: str, arm: PartialArm, fork: PartialFork, by_name: dict[str, PartialArm]
) -> Iterator[Problem]:
    """Whether the arms before it have the generation, and do not go on from it in turn."""
    if fork.arm is None:
        return
    begun = first(fork.arm, by_name)
    if fork.generation is not None and fork.generation < begun:
        message = (
            f"{fork.arm!r} begins with generation {begun} of an earlier experiment: go on from that or a later one"
        )
        yield contradiction(f"{pointer}/generation", message)
    if arm.name in (before := line(fork.arm, by_name)):
        yield contradiction(f"{pointer}/arm", f"{arm.name!r} would go on from itself ({' -> '.join(before)})")


def _differ(mine: Part[Any] | None, theirs: Part[Any] | None) -> bool:
    """Whether one of two arms has a part of its own that the other has not; of what is wrong by itself nothing is known."""
    if mine is None or theirs is None:
        return mine is not theirs
    return mine.whole is not None and theirs.whole is not None and mine.whole != theirs.whole
