"""The problems that several rules report."""

from collections.abc import Collection, Iterator, Sequence

from orchestrator.intake.partial import Part
from orchestrator.problems import Problem, nearest
from trainer.core.data import AnyData

NOT_PREPARED = "NOT_PREPARED"
"""The code of the problem that data is not prepared on this machine."""


def contradiction(pointer: str, message: str) -> Problem:
    """Returns the problem of values that are valid alone and invalid together."""
    return Problem(pointer, "CONTRADICTION", message)


def unknown_arm(pointer: str, name: str, arms: Collection[str], remedy: str = "") -> Problem:
    """Returns the problem of a name that is not one of the experiment's `arms`."""
    message = f"{name!r} is not an arm of this experiment{remedy}"
    return Problem(pointer, "UNKNOWN_VALUE", message, nearest(name, list(arms)))


def repeated(pointer: str, values: Sequence[str | int | None]) -> Iterator[Problem]:
    """Yields a problem for each value that occurs earlier in the list. None is not a value.

    `pointer` is a format string with `{}` for the index.
    """
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Problem(pointer.format(index), "DUPLICATE", f"{value!r} is given more than once: keep one of them")
        if value is not None:
            seen.add(value)


def not_prepared(pointer: str, data: Part[AnyData]) -> Iterator[Problem]:
    """Yields a problem if the data is valid and not prepared on this machine."""
    if data.whole is not None and (missing := data.whole.problem()):
        yield Problem(pointer, NOT_PREPARED, missing)
