"""Label files line by line, folders of images, and the rows that come of them, each fault told with its place and a remedy."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Facts
from trainer.core.data.sources.listing import ListedSplit, Listing

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_SHOWN = 10
_AGAIN = " Unpack the archive again, or put the images there."


@contextmanager
def reading(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise DataProblem(
            "E_PERM", f"{error.filename or path} may not be read: give the user that runs this read access"
        ) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataProblem("E_MISSING", f"{error.filename or path} is no file that can be read: put it there") from error


def remedy(facts: Facts) -> str:
    """What to fetch, from where."""
    if not facts.archives:
        return "Give a folder that holds one folder of images per class, or train/ and val/ or test/ of such folders."
    by_url: dict[str, list[str]] = {}
    for each in facts.archives:
        size = f" ({each.bytes:,} bytes)" if each.bytes is not None else ""
        by_url.setdefault(each.url, []).append(each.name + size)
    files = "; ".join(f"{', '.join(names)} from {url}" for url, names in by_url.items())
    login = "a login is needed" if facts.login else "no login is needed"
    return f"Fetch {files} ({login}), unpack, and give the folder that it was unpacked into."


@dataclass(frozen=True)
class Line:
    """A place in a label file: a line of text, or an entry of an array (both counted from 1)."""

    path: Path
    number: int
    text: str
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.unit} {self.number} of {self.path}"

    def problem(self, why: str) -> DataProblem:
        return DataProblem(
            "E_LABEL", f"{self}: {why}. It reads {self.text!r}. Restore the file from its archive or correct it"
        )

    def integer(self, text: str, what: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise self.problem(f"the {what} {text!r} is no whole number")
        return int(text)


def lines(path: Path) -> list[Line]:
    """Every line that is not blank."""
    with reading(path):
        # A name that is not UTF-8 must come out as the directory listing has it; only \n may end a line, not \x85 or the like.
        text = path.read_text("utf-8-sig", "surrogateescape")
    return [Line(path, number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def csv_rows(path: Path) -> tuple[list[str], list[tuple[Line, list[str]]]]:
    """The header's fields, and each later row with its place."""
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
    """The arrays of those names in a MATLAB file, flattened."""
    import scipy.io  # a quarter of a second, and only two of the data sets need it

    try:
        with reading(path):
            found: dict[str, Any] = scipy.io.loadmat(str(path))
    except DataProblem:
        raise
    except Exception as error:  # whatever scipy's parser runs into: its kinds of errors are not documented
        size = path.stat().st_size
        raise DataProblem(
            "E_DECODE", f"{path} ({size:,} bytes) is no readable MATLAB file: {error!r}. Fetch it again"
        ) from error
    absent = [key for key in keys if key not in found]
    if absent:
        there = ", ".join(sorted(key for key in found if not key.startswith("__"))) or "nothing"
        raise DataProblem("E_LABEL", f"{path} holds no {absent[0]!r} but {there}: restore it from its archive")
    return [np.asarray(found[key]).ravel() for key in keys]


class Rows:
    """The images that label files name, split by split in their order; an image that was named before is refused."""

    def __init__(self, base: Path, *splits: str) -> None:
        self._base = base
        self._rows: dict[str, list[tuple[str, int]]] = {split: [] for split in splits}
        self._named: dict[str, tuple[str, Line]] = {}

    def add(self, split: str, item: str, label: int, line: Line) -> None:
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
        """All rows. Raises E_MISSING if a file that was named is not there."""
        present = _Names(self._base)
        missing = [item for item in self._named if item not in present]
        if missing:
            files = sorted({str(self._named[item][1].path) for item in missing})
            raise DataProblem(
                "E_MISSING",
                f"{len(missing):,} of {len(self._named):,} images that {' and '.join(files)} name are not in {self._base}: "
                f"{_first(missing)}.{_other_case(missing, present)}{_AGAIN}",
            )
        return {
            split: ListedSplit(tuple(item for item, _ in rows), tuple(label for _, label in rows))
            for split, rows in self._rows.items()
        }


class _Names:
    """Which files are there, each folder listed once."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._in: dict[str, set[str]] = {}

    def __contains__(self, item: str) -> bool:
        folder, _, name = item.rpartition("/")
        return name in self._names(folder)

    def near(self, item: str) -> str | None:
        """The path that differs from `item` in upper and lower case only."""
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


def _first(items: Sequence[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else "")


def _other_case(missing: Sequence[str], present: _Names) -> str:
    near = [f"{found} for {item}" for item in missing[:_SHOWN] if (found := present.near(item))]
    return f" Only the case differs: {', '.join(near)}." if near else ""


def class_folders(folder: Path) -> list[str]:
    """Sorted, without the folders that macOS and notebooks leave behind."""
    with reading(folder):
        return sorted(
            each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__MACOSX"))
        )


def folder_split(base: Path, folder: str, classes: Sequence[str], whole: bool = True) -> ListedSplit:
    """The images below `base/folder/CLASS/`, at any depth, in the order of their paths.

    `classes` are the names of the class folders in label order; with `whole`, each must hold an image.
    """
    number = {name: label for label, name in enumerate(classes)}
    found: list[tuple[str, int]] = []
    for name in class_folders(base / folder):
        items = _images(base, base / folder / name)
        if items and name not in number:
            some = ", ".join(classes[:3])
            raise DataProblem(
                "E_LABEL",
                f"{base / folder / name} is no known class ({some}, ...) but holds {len(items):,} images, the first {items[0]}:"
                " move the folder away",
            )
        found += [(item, number[name]) for item in items]
    empty = sorted(set(range(len(classes))) - {label for _, label in found})
    if whole and empty:
        paths = [str(base / folder / classes[label]) for label in empty]
        raise DataProblem(
            "E_MISSING",
            f"{len(empty):,} of {len(classes):,} class folders hold no image: {_first(paths)}.{_AGAIN}",
        )
    found.sort()
    return ListedSplit(tuple(item for item, _ in found), tuple(label for _, label in found))


def tree(base: Path, folders: dict[str, str], classes: Sequence[str] | None = None) -> Listing:
    """A listing whose splits are trees of class folders: split name -> folder below `base`. Classes default to the first's."""
    known = tuple(class_folders(base / next(iter(folders.values()))) if classes is None else classes)
    if not known:
        raise DataProblem("E_MISSING", f"{base / next(iter(folders.values()))} holds no class folder.{_AGAIN}")
    splits = {split: folder_split(base, folder, known) for split, folder in folders.items()}
    return Listing("", base, known, known, splits)


def _images(base: Path, folder: Path) -> list[str]:
    def fail(error: OSError) -> None:
        raise error

    found = []
    with reading(folder):
        for here, inner, names in os.walk(folder, onerror=fail, followlinks=True):
            inner[:] = [name for name in inner if not name.startswith(".")]
            below = Path(here).relative_to(base)
            for name in names:
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                    found.append((below / name).as_posix())
    return sorted(found)


def csv_splits(base: Path, images: str, lists: dict[str, str]) -> Listing:
    """KE's lists: one CSV per split with columns `file_name` and `label`. Classes are the first list's labels, sorted."""
    tables = {}
    for split, name in lists.items():
        header, table = csv_rows(base / name)
        if header[:2] != ["file_name", "label"]:
            raise DataProblem(
                "E_LABEL", f"line 1 of {base / name}: the header must be file_name,label, not {','.join(header)!r}"
            )
        tables[split] = table
    labels = {fields[1] for _, fields in next(iter(tables.values())) if len(fields) > 1}
    classes = (
        sorted(labels, key=int) if all(label.isascii() and label.isdigit() for label in labels) else sorted(labels)
    )
    number = {name: label for label, name in enumerate(classes)}
    rows = Rows(base, *lists)
    for split, table in tables.items():
        for line, fields in table:
            if len(fields) < 2:
                raise line.problem("a file name and a label are needed")
            if fields[1] not in number:
                raise line.problem(f"the label {fields[1]!r} is not in the training list")
            rows.add(split, f"{images}/{fields[0]}", number[fields[1]], line)
    files = tuple(base / name for name in lists.values())
    return Listing("", base, tuple(classes), tuple(classes), rows.splits(), files)


def keep_listed(listing: Listing, subset: Path | None, by_class: bool) -> Listing:
    """Only the images of split `all` that a CSV's column `img_path` names (STARTUP's lists of 80 %), in the listing's order.

    An entry is matched by its file name, of which the suffix may be left out; `by_class` by its class folder too.
    """
    if subset is None:
        return listing
    whole = listing.splits["all"]
    tails: dict[str, list[int]] = {}
    for row, item in enumerate(whole.items):
        path = PurePosixPath(item)
        for tail in {path.name, path.stem, "/".join(path.parts[-2:])}:
            tails.setdefault(tail, []).append(row)
    header, table = csv_rows(subset)
    if "img_path" not in header:
        raise DataProblem("E_LABEL", f"line 1 of {subset}: the header must hold img_path, not {','.join(header)!r}")
    column = header.index("img_path")
    kept: dict[int, Line] = {}
    unknown = []
    for line, fields in table:
        if len(fields) <= column:
            raise line.problem("there is no img_path")
        entry = "/".join(PurePosixPath(fields[column].strip()).parts[-(2 if by_class else 1) :])
        match tails.get(entry, []):
            case []:
                unknown.append(entry)
            case [row]:
                if row in kept:
                    raise line.problem(f"{whole.items[row]} is named twice, first in {kept[row]}")
                kept[row] = line
            case several:
                places = ", ".join(whole.items[row] for row in several[:_SHOWN])
                raise line.problem(f"{entry} may be any of {places}")
    if unknown:
        by_fold = {tail.casefold(): tail for tail in tails}
        near = [f"{by_fold[each.casefold()]} for {each}" for each in unknown[:_SHOWN] if each.casefold() in by_fold]
        case = f" Only the case differs: {', '.join(near)}." if near else ""
        raise DataProblem(
            "E_MISSING",
            f"{len(unknown):,} of {len(table):,} images that {subset} names are not among the {len(whole.items):,} of"
            f" {listing.root}: {_first(unknown)}.{case} Is the list for another data set?",
        )
    if not kept:
        raise DataProblem("E_LABEL", f"{subset} names no image: leave the subset out or give a list that does")
    rows = sorted(kept)
    split = ListedSplit(tuple(whole.items[row] for row in rows), tuple(whole.labels[row] for row in rows))
    note = f"W_SUBSET: {len(rows):,} of {len(whole.items):,} images are kept, those that {subset.name} lists"
    return replace(
        listing, splits={"all": split}, label_files=(*listing.label_files, subset), notes=(*listing.notes, note)
    )
