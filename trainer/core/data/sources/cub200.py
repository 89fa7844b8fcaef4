"""Caltech-UCSD Birds 200-2011, whose labels are four text files that are joined by image id."""

from pathlib import Path

from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.label_files import Line, lines
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.rows import Rows

_SPLITS = {"1": "train", "0": "test"}


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("cub200", subset)
    return read_first("cub200", root, _LAYOUTS)


def _official(base: Path) -> Listing:
    files = tuple(
        base / name for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
    )
    images, classes, splits, names = (_by_id(file) for file in files)
    class_ids = sorted(names, key=int)
    number = {each: label for label, each in enumerate(class_ids)}
    for table in (classes, splits):
        for image, (_, line) in table.items():
            if image not in images:
                raise line.problem(f"image id {image} is not in images.txt")
    rows = Rows(base, "train", "test")
    for image, (path, line) in images.items():
        for table, file in ((classes, files[1]), (splits, files[2])):
            if image not in table:
                raise line.problem(f"image id {image} is not in {file.name}")
        name, label_line = classes[image]
        if name not in number:
            raise label_line.problem(
                f"class id {name} is out of range: classes.txt has {class_ids[0]} to {class_ids[-1]}"
            )
        flag, split_line = splits[image]
        if flag not in _SPLITS:
            raise split_line.problem(f"{flag!r} is neither 1 (train) nor 0 (test)")
        rows.add(_SPLITS[flag], f"images/{path}", number[name], line)
    return Listing(
        "",
        base,
        tuple(names[each][0] for each in class_ids),
        tuple(class_ids),
        rows.splits(),
        files,
    )


def _by_id(path: Path) -> dict[str, tuple[str, Line]]:
    """Reads a file of lines `ID VALUE`; returns id -> (value, line) in the order of the file."""
    table: dict[str, tuple[str, Line]] = {}
    for line in lines(path):
        key, _, value = line.text.strip().partition(" ")
        line.integer(key, "id")
        if not value:
            raise line.problem("an id and a value are needed, with a space between")
        if key in table:
            raise line.problem(f"id {key} is there twice, first in {table[key][1]}")
        table[key] = value, line
    return table


def _folders(base: Path) -> Listing:
    return tree(base, {"train": "train", "test": "test"})


_LAYOUTS = (
    Layout(
        "CUB_200_2011.tgz as unpacked",
        ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt", "images"),
        _official,
        ("", "CUB_200_2011"),
    ),
    Layout(
        "LLF's tree (train/CLASS/, test/CLASS/)",
        ("train/*/", "test/*/"),
        _folders,
        ("", "CUB200"),
        renamed=True,
    ),
)
