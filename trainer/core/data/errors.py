"""What can be wrong with data on disk, by a stable code (the message says what to do)."""

from typing import Literal

Code = Literal[
    "E_LAYOUT",
    "E_ARCHIVE",
    "E_MISSING",
    "E_COUNT",
    "E_DECODE",
    "E_LABEL",
    "E_DISK",
    "E_PERM",
    "E_LOCKED",
    "E_NOT_PREPARED",
    "E_CACHE",
]


class DataProblem(ValueError):  # noqa: N818  the outcome's name
    """Nothing was made, or nothing that was made counts."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
