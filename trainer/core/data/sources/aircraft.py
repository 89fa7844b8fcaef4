"""FGVC-Aircraft 2013b with variants as classes. "train" is the official train list of 3,334 images, not trainval."""

from pathlib import Path

from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.label_files import lines
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.lists import csv_splits
from trainer.core.data.sources.rows import Rows

_SPLITS = ("train", "val", "test")


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("aircraft", subset)
    return read_first("aircraft", root, _LAYOUTS)


def _official(base: Path) -> Listing:
    variants: dict[str, int] = {}
    for line in lines(base / "variants.txt"):
        if line.text.strip() in variants:
            raise line.problem(f"variant {line.text.strip()!r} is there twice")
        variants[line.text.strip()] = len(variants)
    rows = Rows(base, *_SPLITS)
    for split in _SPLITS:
        for line in lines(base / f"images_variant_{split}.txt"):
            # Only the first space separates, because variants contain spaces (and slashes).
            image, _, variant = line.text.strip().partition(" ")
            line.integer(image, "image id")
            if variant not in variants:
                raise line.problem(f"unknown variant {variant!r}: it is not in variants.txt")
            rows.add(split, f"images/{image}.jpg", variants[variant], line)
    files = (base / "variants.txt", *(base / f"images_variant_{split}.txt" for split in _SPLITS))
    return Listing(
        "",
        base,
        tuple(variants),
        tuple(variants),
        rows.splits(),
        files,
    )


def _lists(base: Path) -> Listing:
    return csv_splits(base, "images", {"train": "lists/trn.csv", "val": "lists/val.csv", "test": "lists/tst.csv"})


def _folders(base: Path) -> Listing:
    return tree(base, {split: split for split in _SPLITS})


_LAYOUTS = (
    Layout(
        "fgvc-aircraft-2013b.tar.gz as unpacked",
        ("variants.txt", *(f"images_variant_{split}.txt" for split in _SPLITS), "images"),
        _official,
        ("fgvc-aircraft-2013b/data", "data", ""),
    ),
    Layout(
        "KE's lists (images/, lists/)",
        ("images", "lists/trn.csv", "lists/val.csv", "lists/tst.csv"),
        _lists,
        renamed=True,
    ),
    Layout(
        "LLF's tree (train/CLASS/, val/CLASS/, test/CLASS/)",
        ("train/*/", "val/*/", "test/*/"),
        _folders,
        ("", "Aircrafts"),
        renamed=True,
    ),
)
