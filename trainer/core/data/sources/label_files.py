"""Reads label files line by line. Every problem names its place in the file and a remedy."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.data.errors import DataProblem

SHOWN = 10
"""How many names a message lists before it counts the rest."""
PUT_BACK = " Unpack the archive again, or put the images there."
"""The remedy for images that are missing, as the end of a message."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns a file that is missing or forbidden into DataProblem E_MISSING or E_PERM, which names `path`."""
    try:
        yield
    except PermissionError as error:
        raise DataProblem(
            "E_PERM", f"{error.filename or path} may not be read: give the user that runs this read access"
        ) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataProblem("E_MISSING", f"{error.filename or path} is no file that can be read: put it there") from error


@dataclass(frozen=True)
class Line:
    """A place in a label file: a line of text or an entry of an array, both counted from 1."""

    path: Path
    number: int
    text: str
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.unit} {self.number} of {self.path}"

    def problem(self, why: str) -> DataProblem:
        """Returns DataProblem E_LABEL, whose message holds this place, its text and `why`."""
        return DataProblem(
            "E_LABEL", f"{self}: {why}. It reads {self.text!r}. Restore the file from its archive or correct it"
        )

    def integer(self, text: str, what: str) -> int:
        """Returns `text` as a number. Raises DataProblem E_LABEL if it is not a whole number without sign."""
        if not (text.isascii() and text.isdigit()):
            raise self.problem(f"the {what} {text!r} is no whole number")
        return int(text)


def lines(path: Path) -> list[Line]:
    """Returns every line of the file that is not blank."""
    with reading(path):
        # A name that is not UTF-8 must come out as the directory listing has it.
        # Only \n may end a line, and not \x85 or other characters that str.splitlines accepts.
        text = path.read_text("utf-8-sig", "surrogateescape")
    return [Line(path, number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def csv_rows(path: Path) -> tuple[list[str], list[tuple[Line, list[str]]]]:
    """Returns the fields of the header, and the fields of each later row with its place."""
    table = []
    for line in lines(path):
        try:
            table.append((line, next(csv.reader([line.text]))))
        except csv.Error as error:
            raise line.problem(f"it is no row of a CSV file ({error})") from error
    if not table:
        raise DataProblem("E_LABEL", f"{path} is empty: restore it from its archive")
    return table[0][1], table[1:]


def mat(path: Path, *keys: str) -> list[np.ndarray]:
    """Returns the arrays named `keys` in a MATLAB file, flattened. Raises DataProblem E_DECODE or E_LABEL."""
    import scipy.io  # its import takes a quarter of a second, and only two data sets need it

    try:
        with reading(path):
            found: dict[str, Any] = scipy.io.loadmat(str(path))
    except DataProblem:
        raise
    except Exception as error:  # scipy does not document which errors its parser raises
        size = path.stat().st_size
        raise DataProblem(
            "E_DECODE", f"{path} ({size:,} bytes) is no readable MATLAB file: {error!r}. Fetch it again"
        ) from error
    absent = [key for key in keys if key not in found]
    if absent:
        there = ", ".join(sorted(key for key in found if not key.startswith("__"))) or "nothing"
        raise DataProblem("E_LABEL", f"{path} holds no {absent[0]!r} but {there}: restore it from its archive")
    return [np.asarray(found[key]).ravel() for key in keys]


def shortened(items: Sequence[str]) -> str:
    """Returns the first few of `items` in a sentence, and how many more there are."""
    return ", ".join(items[:SHOWN]) + (f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else "")
