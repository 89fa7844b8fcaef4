"""Which generations an arm of a raw spec has rows of."""

from typing import Any

_MANY = 10**9


def bases_of(arms: list[Any]) -> dict[str, dict[str, Any]]:
    """The raw arms that have a name, by it."""
    return {each["name"]: each for each in arms if isinstance(each, dict) and isinstance(each.get("name"), str)}


def span_of(name: str, bases: dict[str, dict[str, Any]], generations: int | None) -> range:
    """The generations that an arm has rows of; all, where that is not known or the arm is a checkpoint, which is one row."""
    if bases.get(name, {}).get("checkpoint") is not None:
        return range(_MANY)
    begun, seen = 0, set[str]()
    while name in bases and name not in seen:
        seen.add(name)
        fork = bases[name].get("fork")
        if not isinstance(fork, dict):
            break
        if fork.get("experiment") is not None:
            begun = fork["generation"] if type(fork.get("generation")) is int else 0
            break
        name = str(fork.get("arm"))
    return range(begun, _MANY if generations is None else generations)


def outside(moment: int, name: str, span: range) -> str:
    """That the arm `name`, of the generations `span`, has no generation `moment`."""
    if moment < span.start:
        return f"{name!r} begins with generation {span.start} of an earlier experiment: there is no {moment} here"
    return f"{name!r} has no generation {moment}: its last is {span.stop - 1}"
