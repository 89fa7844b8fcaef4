"""Collects the images that label files name and checks that every file exists."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainer.core.data.errors import DataProblem
from trainer.core.data.sources.label_files import PUT_BACK, SHOWN, Line, reading, shortened
from trainer.core.data.sources.listing import ListedSplit


class Rows:
    """The images that label files name, in their order within each split.

    Paths are relative to `base`. An image must not be named twice.
    """

    def __init__(self, base: Path, *splits: str) -> None:
        self._base = base
        self._rows: dict[str, list[tuple[str, int]]] = {split: [] for split in splits}
        self._named: dict[str, tuple[str, Line]] = {}

    def add(self, split: str, item: str, label: int, line: Line) -> None:
        """Adds the image `item` of class `label`, which `line` names. Raises DataProblem E_LABEL."""
        path = PurePosixPath(item)
        if path.is_absolute() or ".." in path.parts:
            raise line.problem(f"{item} lies outside {self._base}")
        if item in self._named:
            before, where = self._named[item]
            raise line.problem(
                f"{item} is named twice, first in {where}"
                if before == split
                else f"the same image {item} is in {before} ({where}) and in {split}"
            )
        self._named[item] = split, line
        self._rows[split].append((item, label))

    def splits(self) -> dict[str, ListedSplit]:
        """Returns the rows of every split. Raises DataProblem E_MISSING if a named file does not exist."""
        present = _Names(self._base)
        missing = [item for item in self._named if item not in present]
        if missing:
            files = sorted({str(self._named[item][1].path) for item in missing})
            raise DataProblem(
                "E_MISSING",
                f"{len(missing):,} of {len(self._named):,} images that {' and '.join(files)} name are not in"
                f" {self._base}: {shortened(missing)}.{_other_case(missing, present)}{PUT_BACK}",
            )
        return {
            split: ListedSplit(tuple(item for item, _ in rows), tuple(label for _, label in rows))
            for split, rows in self._rows.items()
        }


class _Names:
    """The files that exist below `base`. Each folder is listed once."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._in: dict[str, set[str]] = {}

    def __contains__(self, item: str) -> bool:
        folder, _, name = item.rpartition("/")
        return name in self._names(folder)

    def near(self, item: str) -> str | None:
        """Returns an existing path that differs from `item` only in upper and lower case, or None."""
        at = ""
        for part in item.split("/"):
            names = self._names(at)
            fit = (
                part
                if part in names
                else next((name for name in sorted(names) if name.casefold() == part.casefold()), None)
            )
            if fit is None:
                return None
            at = f"{at}/{fit}" if at else fit
        return at

    def _names(self, folder: str) -> set[str]:
        if folder not in self._in:
            path = self._base / folder
            with reading(path):
                self._in[folder] = set(os.listdir(path)) if path.is_dir() else set()
        return self._in[folder]


def _other_case(missing: Sequence[str], present: _Names) -> str:
    near = [f"{found} for {item}" for item in missing[:SHOWN] if (found := present.near(item))]
    return f" Only the case differs: {', '.join(near)}." if near else ""
