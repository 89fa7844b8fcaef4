"""The built-in data sets: 1,797 real handwritten digits (Alpaydin and Kaynak, UCI; the file ships with scikit-learn).

The 8x8 images become 16x16 by bilinear interpolation, with three equal channels. A fixed stratified half (901 images)
is the training pool, and the other 896 images are the test set. All data sets are derived from these pixels, so nothing
is downloaded.
"""

import gzip
import hashlib
from abc import ABC, abstractmethod
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from trainer.core.data.dataset import Dataset, Split
from trainer.core.data.holdout import held_out, held_size
from trainer.core.seeding import generator

CONTENT_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
_SPLIT_SEED = 1234
_MEAN, _STD = (0.3,) * 3, (0.37,) * 3
_PIXELS = 16
_NAMES = tuple(str(digit) for digit in range(10))


class _Digits(BaseModel, ABC):
    """The base of the digits data sets, which answers questions about sizes without building the images."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    holdout: float = Field(
        0, ge=0, lt=1, description="share of each class's training images that stands in for the test set"
    )

    @property
    def label(self) -> str:
        """The name of the data set in tables: NAME[.holdoutSHARE]."""
        return f"{self.name}.holdout{self.holdout:g}" if self.holdout else self.name

    def text(self) -> str:
        """Returns the data set as an evaluator's target is written: NAME[%SHARE]."""
        return f"{self.name}%{self.holdout!r}" if self.holdout else self.name

    def problem(self) -> str | None:
        """Returns None, because the pixels ship with scikit-learn and cannot be missing."""
        return None

    def resolved(self) -> Self:
        """Returns the spec itself, because it leaves nothing open."""
        return self

    def class_names(self) -> tuple[str, ...]:
        return _NAMES

    def pixels(self) -> int:
        """Returns the side of the images in pixels."""
        return _PIXELS

    def smallest_class(self) -> int:
        """Returns the number of images, train and test together, of the smallest class, which bounds an episode."""
        if self.holdout:
            return min(self._pool_sizes())
        kept = [len(rows) for rows in _rows_by_class()]
        return min(kept[int(name)] for name in self.class_names())

    def test_size(self) -> int:
        """Returns the number of test images, or of the held-out images that replace them."""
        if self.holdout:
            return sum(held_size(size, self.holdout) for size in self._pool_sizes())
        kept = [int(name) for name in self.class_names()]
        return sum(int((_labels()[_halves()[1]] == digit).sum()) for digit in kept)

    def train_sizes(self) -> list[int]:
        """Returns the number of training images of each class without building the images."""
        return [size - held_size(size, self.holdout) for size in self._pool_sizes()]

    def load(self) -> Dataset:
        """Returns the images and labels.

        Raises ModuleNotFoundError if scikit-learn is missing and ValueError if its file holds other digits.
        """
        return held_out(self._whole(), self.holdout)

    @abstractmethod
    def _whole(self) -> Dataset:
        """Returns the data set before any training images are held out."""

    def _pool_sizes(self) -> list[int]:
        """Returns the number of training images of each class before any is held out."""
        kept = [int(name) for name in self.class_names()]
        return [int((_labels()[_halves()[0]] == digit).sum()) for digit in kept]


class Digits(_Digits):
    """All ten classes: 901 train, 896 test; shifted by up to 2 px in training, never flipped."""

    name: Literal["digits"] = "digits"

    def _whole(self) -> Dataset:
        return _whole("digits", _images(), shift=2)


class DigitsNoisy(_Digits):
    """A small training set with labels made wrong on purpose, and the clean test set: memorising it costs accuracy.

    Held-out images keep their training labels, wrong ones included, because clean labels would be information that only
    a test set may use.
    """

    name: Literal["digits-noisy"] = "digits-noisy"
    train_per_class: int = Field(30, ge=1, le=85, description="training images per class")
    label_noise: float = Field(0.4, ge=0, le=1, description="share of training labels replaced by another class's")
    noise_seed: int = Field(0, ge=0, le=2**31, description="draws the subset and the wrong labels")

    def _whole(self) -> Dataset:
        whole = _whole("digits-noisy", _images(), shift=2)
        chosen, labels = self._chosen()
        train = Split(whole.train.images_NCHW[chosen], labels)
        return Dataset(
            self.name,
            _NAMES,
            train,
            whole.test,
            _MEAN,
            _STD,
            whole.shift,
        )

    def _pool_sizes(self) -> list[int]:
        return [int((self._chosen()[1] == digit).sum()) for digit in range(10)]

    def _chosen(self) -> tuple[Tensor, Tensor]:
        """Returns the chosen rows of the training pool, and their labels with the label noise."""
        pool = _labels()[_halves()[0]]
        random = generator(self.noise_seed, "data", "digits-noisy")
        rows = []
        for digit in range(10):
            of_class = (pool == digit).nonzero().flatten()
            rows.append(of_class[torch.randperm(len(of_class), generator=random)[: self.train_per_class]])
        chosen = torch.cat(rows).sort().values
        labels = pool[chosen]
        wrong = torch.randperm(len(labels), generator=random)[: round(self.label_noise * len(labels))]
        labels[wrong] = (labels[wrong] + torch.randint(1, 10, (len(wrong),), generator=random)) % 10
        return chosen, labels


class DigitsHalf(_Digits):
    """The classes 0 to 4 or 5 to 9 alone, relabelled from 0: a source and a target that share no class."""

    name: Literal["digits-0-4", "digits-5-9"]

    def class_names(self) -> tuple[str, ...]:
        return _NAMES[:5] if self.name == "digits-0-4" else _NAMES[5:]

    def _whole(self) -> Dataset:
        whole = _whole(self.name, _images(), shift=2)
        first = int(self.class_names()[0])

        def half(split: Split) -> Split:
            kept = (split.labels_N >= first) & (split.labels_N < first + 5)
            return Split(split.images_NCHW[kept], split.labels_N[kept] - first)

        return Dataset(
            self.name,
            self.class_names(),
            half(whole.train),
            half(whole.test),
            _MEAN,
            _STD,
            shift=2,
        )


class DigitsShifted(_Digits):
    """All digits with another appearance: grey levels inverted, turned by 90 degrees, or reduced to their edges."""

    name: Literal["digits-inverted", "digits-rot90", "digits-edges"]

    def _whole(self) -> Dataset:
        images = _images()
        match self.name:
            case "digits-inverted":
                images = 255 - images
            case "digits-rot90":
                images = images.rot90(1, (2, 3)).contiguous()
            case "digits-edges":
                images = _edges(images)
        return _whole(self.name, images, shift=2)


def _whole(name: str, images_NCHW: Tensor, shift: int) -> Dataset:
    labels = _labels()
    train, test = _halves()
    return Dataset(
        name,
        _NAMES,
        Split(images_NCHW[train], labels[train]),
        Split(images_NCHW[test], labels[test]),
        _MEAN,
        _STD,
        shift,
    )


@cache
def _raw() -> tuple[np.ndarray, np.ndarray]:
    """Returns the images `[1797, 8, 8]` with values 0..16 and the labels `[1797]` as uint8, in the order of the
    file."""
    package = find_spec("sklearn")  # only located: importing it takes two seconds
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the built-in digits are read from scikit-learn's files: pip install scikit-learn")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",").astype(np.uint8)
    images, labels = table[:, :64].reshape(-1, 8, 8), table[:, 64]
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if digest != CONTENT_SHA256:
        raise ValueError(f"{path} holds other digits than expected (sha256 {digest}); reinstall scikit-learn")
    return images, labels


@cache
def _images() -> Tensor:
    """Returns all digits as uint8 `[1797, 3, 16, 16]` with values 0..255."""
    small = torch.from_numpy(_raw()[0]).float()[:, None] * (255 / 16)
    large = functional.interpolate(small, size=(_PIXELS, _PIXELS), mode="bilinear", align_corners=False)
    pixels: Tensor = large.round().clamp(0, 255).to(torch.uint8)
    return pixels.expand(-1, 3, -1, -1).contiguous()


@cache
def _labels() -> Tensor:
    return torch.from_numpy(_raw()[1]).long()


@cache
def _rows_by_class() -> list[Tensor]:
    return [(_labels() == digit).nonzero().flatten() for digit in range(10)]


@cache
def _halves() -> tuple[Tensor, Tensor]:
    """Returns the row numbers of the training pool (901) and of the test set (896), stratified by class."""
    random = generator(_SPLIT_SEED, "data", "digits")
    train, test = [], []
    for rows in _rows_by_class():
        shuffled = rows[torch.randperm(len(rows), generator=random)]
        pool = (len(rows) + 1) // 2
        train.append(shuffled[:pool])
        test.append(shuffled[pool:])
    return torch.cat(train).sort().values, torch.cat(test).sort().values


def _edges(images_NCHW: Tensor) -> Tensor:
    """Returns the Sobel gradient magnitude, scaled so that the strongest edge of each image is 255."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([kernel, kernel.T])[:, None]
    gradient = functional.conv2d(functional.pad(images_NCHW[:, :1].float(), (1,) * 4, mode="replicate"), kernels)
    strength = gradient.norm(dim=1, keepdim=True)
    strength = strength / strength.amax((2, 3), keepdim=True).clamp(min=1) * 255
    pixels: Tensor = strength.round().to(torch.uint8)
    return pixels.expand(-1, 3, -1, -1).contiguous()
