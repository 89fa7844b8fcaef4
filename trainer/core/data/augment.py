"""Batched augmentation on uint8 tensors; the parameters of sample i depend on its index, not on who loads it."""

import torch
from torch import Tensor
from torch.nn import functional


def shift_offsets(samples: int, pixels: int, generator: torch.Generator) -> Tensor:
    """One (top, left) crop corner per sample of the epoch, `[samples, 2]`, each uniform in 0..2*pixels."""
    return torch.randint(0, 2 * pixels + 1, (samples, 2), generator=generator)


def random_shift(images_NCHW: Tensor, offsets_N2: Tensor, pixels: int) -> Tensor:
    """Pads by `pixels` zeros on each side and crops back to the same size at each image's own corner."""
    N, C, H, W = images_NCHW.shape
    padded = functional.pad(images_NCHW, (pixels,) * 4)
    rows = offsets_N2[:, 0, None] + torch.arange(H, device=offsets_N2.device)
    columns = offsets_N2[:, 1, None] + torch.arange(W, device=offsets_N2.device)
    flat = (rows[:, :, None] * (W + 2 * pixels) + columns[:, None, :]).view(N, 1, H * W).expand(N, C, H * W)
    return padded.flatten(2).gather(2, flat).view(N, C, H, W)
