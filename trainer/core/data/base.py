"""What a data set is to training and evaluation: uint8 images, labels, and how to make floats of them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """`images_NCHW` uint8 and `labels_N` int64, row by row."""

    images_NCHW: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    def to(self, device: torch.device) -> "Split":
        return Split(self.images_NCHW.to(device), self.labels_N.to(device))


@dataclass(frozen=True)
class Dataset:
    """A train and a test split of the same classes; `shift` is the training augmentation in pixels."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    shift: int = 0

    def floats(self, images_NCHW: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 images to normalised floats of the same shape."""
        mean, std = (torch.tensor(v, dtype=dtype, device=images_NCHW.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (images_NCHW.to(dtype) / 255 - mean) / std

    def to(self, device: torch.device) -> "Dataset":
        return Dataset(self.name, self.classes, self.train.to(device), self.test.to(device), self.mean, self.std, self.shift)
