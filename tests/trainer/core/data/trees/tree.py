"""The description of a tree that tests compare with what an adapter finds, and the writers of images and texts."""

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 20


@dataclass(frozen=True)
class Tree:
    """The contents that an adapter must find in a tree."""

    root: Path
    """The folder that the archives were unpacked into, which the adapter is given."""
    own: Path
    """The data set's own folder, which it must accept as well."""
    classes: tuple[str, ...]
    """The names of the classes, in the order of their labels."""
    counts: Mapping[str, int]
    """The number of images by split."""
    labels: Mapping[tuple[str, str], int]
    """The labels of some images, by split and item."""
    absent: tuple[str, ...] = ()
    """Names of files that exist and must be in no split."""
    lossless: tuple[str, ...] = ()
    """Items whose file holds exactly `pixels(item)`: a PNG with any suffix or, for CIFAR, a row of a pickle."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """The image mode of items that are not RGB."""


def pixels(item: str) -> np.ndarray:
    """Returns the image of an item as uint8 `[H, W, 3]`, with three different channels.

    The image depends on the file name only, not on its folder. An item without a suffix is a row of a CIFAR pickle,
    and its image depends on the whole item.
    """
    path = PurePosixPath(item)
    height, width, name = (HEIGHT, WIDTH, path.name) if path.suffix else (32, 32, item)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
    fine: np.ndarray = np.kron(coarse, np.ones((-(-height // 4), -(-width // 4), 1), np.uint8))[:height, :width]
    return fine


def image(path: Path, form: str = "JPEG", mode: str = "RGB") -> None:
    """Writes the image for the name of `path` in the format `form`, which may differ from the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.name, form, mode))


@cache
def _encoded(name: str, form: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(name)).convert(mode).save(buffer, format=form)
    return buffer.getvalue()


def text(path: Path, content: str) -> None:
    """Writes a text file, and its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
