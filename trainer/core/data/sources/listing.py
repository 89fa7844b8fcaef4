"""A listing says which image of a tree belongs to which split and class. It holds no pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ListedSplit:
    """The images of one split. Row i is the image `items[i]` of class `labels[i]`.

    An item is a POSIX path below the listing's root, or a name for the listing's `read`.
    """

    items: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Listing:
    """A data set as it lies on disk. Class i is named `classes[i]`, and `class_ids[i]` in the source's own files."""

    layout: str
    """A description of the layout that matched."""
    root: Path
    classes: tuple[str, ...]
    class_ids: tuple[str, ...]
    splits: Mapping[str, ListedSplit]
    label_files: tuple[Path, ...] = ()
    """The files that splits and labels were read from. Their digests go into the manifest."""
    notes: tuple[str, ...] = ()
    """Warnings for the researcher. Each starts with a code such as W_RENAMED or W_SUBSET."""
    read: Callable[[str], np.ndarray] | None = field(default=None, compare=False)
    """Returns the pixels of an item as uint8 `[H, W, 3]`. It is None if the items are image files."""
