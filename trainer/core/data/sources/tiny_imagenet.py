"""Tiny-ImageNet-200. The split "test" is the official val, because the official test has no labels."""

import re
from dataclasses import replace
from pathlib import Path

from trainer.core.data.sources.class_tree import class_folders, folder_split, tree
from trainer.core.data.sources.label_files import lines
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.rows import Rows

_BELOW = ("", "tiny-imagenet-200")


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("tiny-imagenet", subset)
    return read_first("tiny-imagenet", root, _LAYOUTS)


def _raw(base: Path) -> Listing:
    known = _classes(base)
    number = {wnid: label for label, wnid in enumerate(known.class_ids)}
    annotations = base / "val" / "val_annotations.txt"
    rows = Rows(base, "test")
    for line in lines(annotations):
        name, wnid, *_ = (*line.text.split("\t"), "", "")
        if wnid not in number:
            raise line.problem(f"unknown wnid {wnid!r} in column 2")
        rows.add("test", f"val/images/{name}", number[wnid], line)
    splits = {"train": folder_split(base, "train", known.class_ids), **rows.splits()}
    return replace(known, splits=splits, label_files=(*known.label_files, annotations))


def _rearranged(base: Path) -> Listing:
    return _tree(base, "val")


def _train_test(base: Path) -> Listing:
    return _tree(base, "test")


def _tree(base: Path, test: str) -> Listing:
    known = _classes(base)
    return replace(known, splits=tree(base, {"train": "train", "test": test}, known.class_ids).splits)


def _classes(base: Path) -> Listing:
    """Returns a listing of the classes without splits. SEAL uses the order of wnids.txt, which is not sorted."""
    path = base / "wnids.txt"
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    wnids: dict[str, None] = {}
    if path.exists():
        files = (path,)
        for line in lines(path):
            wnid = line.text.strip()
            if not re.fullmatch(r"n\d{8}", wnid) or wnid in wnids:
                raise line.problem(
                    f"{wnid!r} {'is there twice' if wnid in wnids else 'is no wnid (n and eight digits)'}"
                )
            wnids[wnid] = None
    else:
        notes = (
            "W_RENAMED: no wnids.txt, so the classes are in sorted order (LLF's), not in SEAL's: their numbers differ",
        )
        wnids = dict.fromkeys(class_folders(base / "train"))
    words = base / "words.txt"
    names = dict(line.text.split("\t", 1) for line in lines(words) if "\t" in line.text) if words.exists() else {}
    return Listing(
        "",
        base,
        tuple(names.get(wnid, wnid) for wnid in wnids),
        tuple(wnids),
        {},
        files,
        notes,
    )


_LAYOUTS = (
    Layout(
        "tiny-imagenet-200.zip as unpacked (train/WNID/images/, val/images/)",
        ("train/n*", "val/val_annotations.txt", "val/images/*.*"),
        _raw,
        _BELOW,
    ),
    Layout(
        "val rearranged into class folders (val/WNID/)",
        ("train/n*", "val/n*"),
        _rearranged,
        _BELOW,
        renamed=True,
    ),
    Layout(
        "LLF's tree (train/WNID/, test/WNID/)",
        ("train/n*", "test/n*"),
        _train_test,
        ("", "tinyImagenet_full"),
        renamed=True,
    ),
)
