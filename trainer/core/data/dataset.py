"""What a data set is to training and evaluation: uint8 images, labels, and how to make floats of them."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """`images_NCHW` uint8 and `labels_N` int64, row by row."""

    images_NCHW: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    @cached_property
    def digest(self) -> str:
        """sha256 of the images' shape and pixels."""
        found = hashlib.sha256(str(tuple(self.images_NCHW.shape)).encode())
        found.update(self.images_NCHW.cpu().contiguous().numpy().data)
        return found.hexdigest()

    def to(self, device: torch.device) -> "Split":
        return Split(self.images_NCHW.to(device), self.labels_N.to(device))


@dataclass(frozen=True)
class Dataset:
    """A train and a test split of the same classes. Training shifts by up to `shift` px and mirrors half of them (`flip`)."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    shift: int = 0
    flip: bool = False

    def floats(self, images_NCHW: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 images to normalised floats of the same shape."""
        mean, std = (each.to(images_NCHW.device, dtype) for each in self._moments)
        return images_NCHW.to(dtype, copy=True).div_(255).sub_(mean).div_(std)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation on the device of the images: made once, since a copy to a GPU would wait for it."""
        device = self.train.images_NCHW.device
        mean, std = (torch.tensor(v, dtype=torch.float64, device=device).view(3, 1, 1) for v in (self.mean, self.std))
        return mean, std

    def to(self, device: torch.device) -> "Dataset":
        return replace(self, train=self.train.to(device), test=self.test.to(device))
