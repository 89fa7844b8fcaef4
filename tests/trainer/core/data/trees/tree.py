"""What an adapter must find in a tree, and the pictures and texts that trees are made of."""

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
    """What an adapter must find in a tree."""

    root: Path
    """What to give to the adapter: the folder that the archives were unpacked into."""
    own: Path
    """The data set's own folder, which it must accept as well."""
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    labels: Mapping[tuple[str, str], int]
    """Of some images: (split, item) -> label."""
    absent: tuple[str, ...] = ()
    """Names of files that are there and must be in no split."""
    lossless: tuple[str, ...] = ()
    """Items whose file holds exactly `pixels(item)`, as PNG whatever its suffix says (CIFAR: as the pickle's row)."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """Items whose file has another mode than RGB."""


def pixels(item: str) -> np.ndarray:
    """uint8 `[H, W, 3]` with three different channels: another picture for each file name, whatever its folder.

    An item without a suffix is a row of a CIFAR pickle, where all of it counts.
    """
    path = PurePosixPath(item)
    height, width, name = (HEIGHT, WIDTH, path.name) if path.suffix else (32, 32, item)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
    fine: np.ndarray = np.kron(coarse, np.ones((-(-height // 4), -(-width // 4), 1), np.uint8))[:height, :width]
    return fine


def image(path: Path, form: str = "JPEG", mode: str = "RGB") -> None:
    """Writes the picture of that name; the format does not depend on the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.name, form, mode))


@cache
def _encoded(name: str, form: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(name)).convert(mode).save(buffer, format=form)
    return buffer.getvalue()


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
