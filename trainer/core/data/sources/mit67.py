"""MIT Indoor-67: the 6,700 images of the two list files. The other 8,920 images of the archive belong to no split."""

from functools import partial
from pathlib import Path

from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.label_files import lines
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.rows import Rows

_LISTS = {"train": "TrainImages.txt", "test": "TestImages.txt"}


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("mit67", subset)
    return read_first("mit67", root, _LAYOUTS)


def _official(base: Path, images: str) -> Listing:
    listed = [(split, line, line.text.strip()) for split, name in _LISTS.items() for line in lines(base / name)]
    for _, line, path in listed:
        if path.count("/") != 1:
            raise line.problem("a line is CLASS/FILE")
    classes = tuple(sorted({path.partition("/")[0] for _, _, path in listed}))
    number = {name: label for label, name in enumerate(classes)}
    rows = Rows(base, *_LISTS)
    for split, line, path in listed:
        rows.add(split, f"{images}/{path}", number[path.partition("/")[0]], line)
    return Listing(
        "",
        base,
        classes,
        classes,
        rows.splits(),
        tuple(base / name for name in _LISTS.values()),
    )


def _folders(base: Path) -> Listing:
    return tree(base, {"train": "train", "test": "test"})


_LAYOUTS = (
    Layout(
        "indoorCVPR_09.tar as unpacked, with the two list files",
        (*_LISTS.values(), "Images"),
        partial(_official, images="Images"),
        ("", "indoorCVPR_09"),
    ),
    Layout(
        "Kaggle's nested copy (indoorCVPR_09/Images/)",
        (*_LISTS.values(), "indoorCVPR_09/Images"),
        partial(_official, images="indoorCVPR_09/Images"),
        renamed=True,
    ),
    Layout(
        "LLF's tree (train/CLASS/, test/CLASS/)",
        ("train/*/", "test/*/"),
        _folders,
        ("", "MIT67"),
        renamed=True,
    ),
)
