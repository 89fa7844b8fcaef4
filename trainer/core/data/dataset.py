"""A loaded data set: uint8 images, labels, and the normalisation that turns images into floats."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """The uint8 images `[N, C, H, W]` and int64 labels `[N]` of one split."""

    images_NCHW: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the images' shape and pixels, without the labels."""
        found = hashlib.sha256(str(tuple(self.images_NCHW.shape)).encode())
        found.update(self.images_NCHW.cpu().contiguous().numpy().data)
        return found.hexdigest()

    def to(self, device: torch.device) -> "Split":
        return Split(self.images_NCHW.to(device), self.labels_N.to(device))


@dataclass(frozen=True)
class Dataset:
    """A training and a test split of the same classes.

    `mean` and `std` are per channel, for pixel values in 0..1. Training augmentation shifts images by up to `shift`
    pixels and, if `flip` is set, mirrors half of them.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    shift: int = 0
    flip: bool = False

    def floats(self, images_NCHW: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Returns uint8 images as normalised floats of the same shape."""
        mean, std = (each.to(images_NCHW.device, dtype) for each in self._moments)
        return images_NCHW.to(dtype, copy=True).div_(255).sub_(mean).div_(std)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `[3, 1, 1]` on the device of the images.

        They are made once, because a copy to a GPU would have to wait for it.
        """
        device = self.train.images_NCHW.device
        mean, std = (torch.tensor(v, dtype=torch.float64, device=device).view(3, 1, 1) for v in (self.mean, self.std))
        return mean, std

    def to(self, device: torch.device) -> "Dataset":
        return replace(self, train=self.train.to(device), test=self.test.to(device))
