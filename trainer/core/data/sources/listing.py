"""What an adapter finds in a tree: which image belongs to which split and class. Pixels come later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ListedSplit:
    """Row i is `items[i]`, a POSIX path below the listing's root (or a name that `read` knows), of class `labels[i]`."""

    items: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Listing:
    """A data set as it lies on disk. Class i is `classes[i]` to people and `class_ids[i]` in the source's own files."""

    layout: str
    """The layout variant that matched, in words."""
    root: Path
    classes: tuple[str, ...]
    class_ids: tuple[str, ...]
    splits: Mapping[str, ListedSplit]
    label_files: tuple[Path, ...] = ()
    """The files that splits and labels were read from; their digests go into the manifest."""
    notes: tuple[str, ...] = ()
    """What a researcher should know, each starting with W_RENAMED, W_SUBSET or the like."""
    read: Callable[[str], np.ndarray] | None = field(default=None, compare=False)
    """For data that is no image files: item -> uint8 `[H, W, 3]`."""
