"""Computes the generations of each arm, and the ancestors of an arm."""

from collections.abc import Mapping

from orchestrator.intake.partial import PartialArm, PartialSpec

_MANY = 10**9


def generations_by_arm(spec: PartialSpec) -> dict[str, range]:
    """Maps the name of each arm to its generations.

    An arm has all generations if its last one is not known, or if it is a checkpoint, which is one row for all.
    """
    return {name: _generations(name, arm, spec) for name, arm in spec.by_name.items()}


def ancestors(name: str | None, arms: Mapping[str, PartialArm]) -> list[str]:
    """Returns `name` and the arms of the experiment from which it directly or indirectly forks, each once."""
    found: dict[str, None] = {}
    while name is not None and name not in found:
        found[name] = None
        fork = arms[name].fork if name in arms else None
        name = fork.arm if fork is not None and not fork.outside else None
    return list(found)


def first_generation(name: str, arms: Mapping[str, PartialArm]) -> int:
    """Returns the first generation of the arm `name`, which is not 0 if it forks from an earlier experiment."""
    oldest = ancestors(name, arms)[-1]
    fork = arms[oldest].fork if oldest in arms else None
    return (fork.generation or 0) if fork is not None and fork.outside else 0


def lacking(generation: int, name: str, available: range) -> str:
    """Returns the message that the arm `name`, which has the generations `available`, does not have `generation`."""
    if generation < available.start:
        return (
            f"{name!r} begins with generation {available.start} of an earlier experiment: there is no {generation} here"
        )
    return f"{name!r} has no generation {generation}: its last is {available.stop - 1}"


def _generations(name: str, arm: PartialArm, spec: PartialSpec) -> range:
    """Returns the generations of one arm."""
    generations = spec.train_of(arm).field("generations")
    if arm.checkpoint is not None:
        return range(_MANY)
    return range(first_generation(name, spec.by_name), _MANY if generations is None else generations)
