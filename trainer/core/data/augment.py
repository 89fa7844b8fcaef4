"""Batched augmentation of uint8 images. The parameters of sample i depend on its index and not on the worker."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """The crop corners `[N, 2]` and flips `[N]` of one epoch, by row of the training split.

    Images are padded by `pixels` before they are cropped. A part that is None is not applied.
    """

    pixels: int
    offsets_N2: Tensor | None
    flips_N: Tensor | None

    @staticmethod
    def draw(samples: int, pixels: int, flip: bool, random: torch.Generator) -> "Augmentation":
        """Draws corners uniformly from 0..2*pixels of the padded image, and flips with probability 1/2."""
        offsets = shift_offsets(samples, pixels, random) if pixels else None
        return Augmentation(pixels, offsets, torch.rand(samples, generator=random) < 0.5 if flip else None)

    def to(self, device: torch.device) -> "Augmentation":
        offsets, flips = (None if each is None else each.to(device) for each in (self.offsets_N2, self.flips_N))
        return Augmentation(self.pixels, offsets, flips)

    def apply(self, images_BCHW: Tensor, rows_B: Tensor) -> Tensor:
        """Returns the images, which are the rows `rows_B` of the split, cropped and flipped."""
        if not len(rows_B):
            return images_BCHW
        if self.offsets_N2 is not None:
            images_BCHW = random_shift(images_BCHW, self.offsets_N2[rows_B], self.pixels)
        return images_BCHW if self.flips_N is None else mirrored(images_BCHW, self.flips_N[rows_B])


def shift_offsets(samples: int, pixels: int, generator: torch.Generator) -> Tensor:
    """Returns one (top, left) crop corner per sample, `[samples, 2]`, each uniform in 0..2*pixels."""
    return torch.randint(0, 2 * pixels + 1, (samples, 2), generator=generator)


def random_shift(images_NCHW: Tensor, offsets_N2: Tensor, pixels: int) -> Tensor:
    """Pads each image by `pixels` zeros on each side and crops it back to its size at its own corner."""
    N, C, H, W = images_NCHW.shape
    padded = functional.pad(images_NCHW, (pixels,) * 4)
    top_N11, left_N11 = offsets_N2.T[:, :, None, None]
    planes_NC1 = torch.arange(N * C, device=offsets_N2.device).view(N, C, 1) * (H + 2 * pixels)
    first_NCH = (planes_NC1 + top_N11 + torch.arange(H, device=offsets_N2.device)) * (W + 2 * pixels) + left_N11
    windows = padded.flatten().unfold(0, W, 1)  # a row of a crop is W consecutive pixels that start anywhere
    return windows.index_select(0, first_NCH.flatten()).view(N, C, H, W)


def mirrored(images_NCHW: Tensor, flips_N: Tensor) -> Tensor:
    """Returns the images, mirrored left to right where `flips_N` is True."""
    both = torch.cat([images_NCHW, images_NCHW.flip(3)])  # selecting whole images is ten times as fast as torch.where
    N = len(flips_N)
    return both.index_select(0, torch.arange(N, device=flips_N.device) + N * flips_N)
