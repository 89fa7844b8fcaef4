"""The user's own images, sorted into one folder per class, with or without splits."""

from pathlib import Path

from trainer.core.data.sources.class_tree import class_folders, folder_split, tree
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import Listing

_SPLITS = ("train", "val", "test")


def read(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("folder", subset)
    return read_first("folder", root, _LAYOUTS)


def _split(base: Path) -> Listing:
    """Lists the splits, whose classes are those of train. A class that another split lacks is noted."""
    listing = tree(base, {"train": "train"})
    splits = dict(listing.splits)
    notes = []
    for split in _SPLITS[1:]:
        if (base / split).is_dir():
            splits[split] = folder_split(base, split, listing.classes, whole=False)
            lacking = sorted(set(listing.classes) - {listing.classes[label] for label in splits[split].labels})
            if lacking:
                notes.append(f"W_CLASSES: {split} holds no image of {', '.join(lacking)}")
    return Listing(
        "",
        base,
        listing.classes,
        listing.class_ids,
        splits,
        notes=tuple(notes),
    )


def _whole(base: Path) -> Listing:
    return tree(base, {"all": ""}, class_folders(base))


_LAYOUTS = (
    *(Layout(f"train/ and {other}/ of class folders", ("train/*/", f"{other}/*/"), _split) for other in _SPLITS[1:]),
    Layout("class folders without a split", ("*/",), _whole, forbids=_SPLITS),
)
