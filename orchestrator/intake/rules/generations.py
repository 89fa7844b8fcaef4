"""Which generations an arm has rows of."""

from collections.abc import Mapping

from orchestrator.intake.partial import PartialArm, PartialSpec

_MANY = 10**9


def spans(spec: PartialSpec) -> dict[str, range]:
    """The generations of each arm by name: all, where its last is not known or the arm is a checkpoint, which is one row."""
    return {name: _span(name, arm, spec) for name, arm in spec.by_name.items()}


def line(name: str | None, arms: Mapping[str, PartialArm]) -> list[str]:
    """`name` and the arms that it goes on from inside the experiment, one from the other, each once."""
    found: dict[str, None] = {}
    while name is not None and name not in found:
        found[name] = None
        fork = arms[name].fork if name in arms else None
        name = fork.arm if fork is not None and not fork.outside else None
    return list(found)


def first(name: str, arms: Mapping[str, PartialArm]) -> int:
    """The generation that the arm `name` begins with: not 0 where it goes on from an earlier experiment."""
    oldest = line(name, arms)[-1]
    fork = arms[oldest].fork if oldest in arms else None
    return (fork.generation or 0) if fork is not None and fork.outside else 0


def lacking(generation: int, name: str, span: range) -> str:
    """The message that the arm `name`, which has the generations `span`, has no `generation`."""
    if generation < span.start:
        return f"{name!r} begins with generation {span.start} of an earlier experiment: there is no {generation} here"
    return f"{name!r} has no generation {generation}: its last is {span.stop - 1}"


def _span(name: str, arm: PartialArm, spec: PartialSpec) -> range:
    generations = spec.train_of(arm).field("generations")
    if arm.checkpoint is not None:
        return range(_MANY)
    return range(first(name, spec.by_name), _MANY if generations is None else generations)
