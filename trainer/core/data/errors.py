"""Problems with data on disk. Each has a stable code, and its message says what to do."""

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


class DataProblem(ValueError):  # noqa: N818  the name is the condition itself
    """Data cannot be used or prepared. Nothing was written, or what was written is not used."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
