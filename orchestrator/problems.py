"""Mistakes in a spec."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from trainer.core.mistakes import nearest

__all__ = ["InvalidSpec", "Problem", "nearest"]


@dataclass(frozen=True)
class Problem:
    """One mistake: a JSON pointer (RFC 6901), a stable code, a sentence, and the nearest known name if there is one."""

    pointer: str
    code: str
    message: str
    suggestion: str | None = None

    def as_json(self) -> dict[str, str]:
        """Returns the problem as it is in the API's answer, without an absent suggestion."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class InvalidSpec(ValueError):  # noqa: N818  the outcome's name
    """The spec has at least one problem; nothing was stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.message}" for problem in problems))
        self.problems = list(problems)
