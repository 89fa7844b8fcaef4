"""Small trees of images with known pixels, and shared assertions for the tests of `prepare`."""

import io
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.core.data import filesystem
from trainer.core.data.facts import FACTS, Archive, Facts
from trainer.core.data.manifest import Manifest
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import ListedSplit, Listing

PX = 16
AS_IT_IS = Recipe(PX, resize="none")
CLASSES = ("ape", "bee")


def pixels(seed: int, width: int = PX, height: int = PX) -> np.ndarray:
    """Noise `[height, width, 3]`."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(seed: int, width: int, height: int) -> Image.Image:
    """Something like a photo."""
    return Image.fromarray(pixels(seed, 8, 8)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def tree(root: Path, train: int = 7, test: int = 3) -> Listing:
    """PNG files `<class>/<number>.jpg` (named wrongly on purpose), image i of `pixels(i)` and of class i modulo 2."""
    items = []
    for index in range(train + test):
        item = f"{CLASSES[index % 2]}/{index}.jpg"
        (root / item).parent.mkdir(parents=True, exist_ok=True)
        (root / item).write_bytes(encoded(Image.fromarray(pixels(index))))
        items.append(item)
    return listed(root, {"train": tuple(items[:train]), "test": tuple(items[train:])})


def listed(root: Path, items: Mapping[str, tuple[str, ...]]) -> Listing:
    """Classes by folder."""
    splits = {
        name: ListedSplit(each, tuple(CLASSES.index(item.split("/")[0]) for item in each))
        for name, each in items.items()
    }
    return Listing(
        "one folder per class",
        root,
        CLASSES,
        ("n01", "n02"),
        splits,
    )


def facts(splits: Mapping[str, int], archives: tuple[Archive, ...] = (), classes: int | None = 2) -> Facts:
    return replace(FACTS["folder"], splits=splits, classes=classes, archives=archives)


def truncated(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def directory(root: Path) -> Path:
    return root / "cache" / "toy" / AS_IT_IS.folder


def made(root: Path, listing: Listing, **options: object) -> Manifest:
    return prepare("toy", root, root / "cache", AS_IT_IS, listing=listing, **options)  # type: ignore[arg-type]


def nothing_made(root: Path) -> bool:
    """No cache and nothing half made; a lock may stay."""
    return {each.name for each in (root / "cache").rglob("*") if not each.name.endswith(".lock")} <= {"toy"}


class holding:  # noqa: N801  used as a word
    """The lock of the toy, held by another thread."""

    def __init__(self, root: Path) -> None:
        self._free, self._held = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(root,))

    def _hold(self, root: Path) -> None:
        path = directory(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        with filesystem.locked(path.with_name(f".{path.name}.lock"), "it", 0):
            self._held.set()
            self._free.wait()

    def __enter__(self) -> None:
        self._thread.start()
        self._held.wait()

    def __exit__(self, *_: object) -> None:
        self._free.set()
        self._thread.join()
