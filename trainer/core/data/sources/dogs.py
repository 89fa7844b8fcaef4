"""Stanford Dogs. Its images come from ImageNet, and some of its classes are also in Tiny-ImageNet."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.data.facts import FACTS
from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.label_files import Line, mat
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.rows import Rows

_LISTS = {"train": "train_list.mat", "test": "test_list.mat"}
_IN_TINY_IMAGENET = ("n02094433", "n02099601", "n02099712", "n02106662", "n02113799")


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("dogs", subset)
    listing = read_first("dogs", root, _LAYOUTS)
    shared = [name for name in listing.class_ids if name.startswith(_IN_TINY_IMAGENET)]
    if not shared:
        return listing
    note = f"W_LEAKAGE: {len(shared)} classes are also in Tiny-ImageNet, so for a net trained there"
    return replace(listing, notes=(*listing.notes, f"{note} this is no clean target: {', '.join(shared)}"))


def _official(base: Path, lists: str) -> Listing:
    most = FACTS["dogs"].classes
    assert most is not None
    folders: dict[int, tuple[str, Line]] = {}
    listed = []
    for split, name in _LISTS.items():
        path = base / lists / name
        files, labels = mat(path, "file_list", "labels")
        if len(files) != len(labels):
            raise Line(path, 1, "file_list", "array").problem(f"{len(files):,} files have {len(labels):,} labels")
        for number, (cell, label) in enumerate(zip(files, labels, strict=True), 1):
            line = Line(path, number, f"{_text(cell)} {label}", "entry")
            file, class_id = _text(cell), int(label)
            if not 1 <= class_id <= most:
                raise line.problem(f"a label is a number from 1 to {most}")
            folder, where = folders.setdefault(class_id, (file.partition("/")[0], line))
            if folder != file.partition("/")[0]:
                raise line.problem(f"label {class_id} is {folder} in {where}")
            listed.append((split, file, class_id, line))
    class_ids = sorted(folders)
    number_of = {class_id: label for label, class_id in enumerate(class_ids)}
    rows = Rows(base, *_LISTS)
    for split, file, class_id, line in listed:
        rows.add(split, f"Images/{file}", number_of[class_id], line)
    ids = tuple(folders[class_id][0] for class_id in class_ids)
    return Listing(
        "",
        base,
        _breeds(ids),
        ids,
        rows.splits(),
        tuple(base / lists / name for name in _LISTS.values()),
    )


def _text(cell: Any) -> str:
    """Returns the string in a MATLAB cell, which scipy wraps in nested arrays of size 1."""
    while isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.item()
    return str(cell)


def _breeds(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(folder.partition("-")[2] or folder for folder in folders)


def _folders(base: Path) -> Listing:
    listing = tree(base, {"train": "train", "test": "test"})
    return replace(listing, classes=_breeds(listing.class_ids))


_LAYOUTS = (
    Layout("images.tar and lists.tar as unpacked", ("Images", *_LISTS.values()), partial(_official, lists="")),
    Layout(
        "the lists in lists/",
        ("Images", *(f"lists/{name}" for name in _LISTS.values())),
        partial(_official, lists="lists"),
    ),
    Layout(
        "LLF's tree (train/CLASS/, test/CLASS/)",
        ("train/*/", "test/*/"),
        _folders,
        ("", "Dog120"),
        renamed=True,
    ),
)
