"""Problems that several rules report."""

from collections.abc import Collection, Iterator, Sequence

from orchestrator.intake.partial import Part
from orchestrator.problems import Problem, nearest
from trainer.core.data import AnyData

NOT_PREPARED = "NOT_PREPARED"
"""Code of the problem that data is not on this machine."""


def contradiction(pointer: str, message: str) -> Problem:
    """Values that are fine alone and wrong together."""
    return Problem(pointer, "CONTRADICTION", message)


def unknown_arm(pointer: str, name: str, arms: Collection[str], remedy: str = "") -> Problem:
    """A name that is none of the experiment's `arms`."""
    message = f"{name!r} is not an arm of this experiment{remedy}"
    return Problem(pointer, "UNKNOWN_VALUE", message, nearest(name, list(arms)))


def repeated(pointer: str, values: Sequence[str | int | None]) -> Iterator[Problem]:
    """Values that are in the list already; `pointer` has braces for the index, and None is no value."""
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Problem(pointer.format(index), "DUPLICATE", f"{value!r} stands here for the second time")
        if value is not None:
            seen.add(value)


def not_prepared(pointer: str, data: Part[AnyData]) -> Iterator[Problem]:
    """Data that is not on this machine."""
    if data.whole is not None and (missing := data.whole.problem()):
        yield Problem(pointer, NOT_PREPARED, missing)
