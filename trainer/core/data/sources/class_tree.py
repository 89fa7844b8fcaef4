"""Lists images that are sorted into one folder per class."""

import os
from collections.abc import Sequence
from pathlib import Path

from trainer.core.data.errors import DataProblem
from trainer.core.data.sources.label_files import PUT_BACK, reading, shortened
from trainer.core.data.sources.listing import ListedSplit, Listing

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def class_folders(folder: Path) -> list[str]:
    """Returns the names of the folders in `folder`, sorted, without those that macOS and notebooks create."""
    with reading(folder):
        return sorted(
            each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__MACOSX"))
        )


def folder_split(base: Path, folder: str, classes: Sequence[str], whole: bool = True) -> ListedSplit:
    """Returns the images below `base/folder/CLASS/`, at any depth, in the order of their paths.

    `classes` are the names of the class folders in label order. With `whole`, a class without an image raises
    DataProblem E_MISSING. A folder with images that is not a class raises DataProblem E_LABEL.
    """
    number = {name: label for label, name in enumerate(classes)}
    found: list[tuple[str, int]] = []
    for name in class_folders(base / folder):
        items = _images(base, base / folder / name)
        if items and name not in number:
            some = ", ".join(classes[:3])
            raise DataProblem(
                "E_LABEL",
                f"{base / folder / name} is no known class ({some}, ...) but holds {len(items):,} images,"
                f" the first {items[0]}: move the folder away",
            )
        found += [(item, number[name]) for item in items]
    empty = sorted(set(range(len(classes))) - {label for _, label in found})
    if whole and empty:
        paths = [str(base / folder / classes[label]) for label in empty]
        raise DataProblem(
            "E_MISSING",
            f"{len(empty):,} of {len(classes):,} class folders hold no image: {shortened(paths)}.{PUT_BACK}",
        )
    found.sort()
    return ListedSplit(tuple(item for item, _ in found), tuple(label for _, label in found))


def tree(base: Path, folders: dict[str, str], classes: Sequence[str] | None = None) -> Listing:
    """Returns a listing whose splits are trees of class folders.

    `folders` maps the name of a split to its folder below `base`. By default, the classes are the class folders of the
    first split.
    """
    known = tuple(class_folders(base / next(iter(folders.values()))) if classes is None else classes)
    if not known:
        raise DataProblem("E_MISSING", f"{base / next(iter(folders.values()))} holds no class folder.{PUT_BACK}")
    splits = {split: folder_split(base, folder, known) for split, folder in folders.items()}
    return Listing(
        "",
        base,
        known,
        known,
        splits,
    )


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
