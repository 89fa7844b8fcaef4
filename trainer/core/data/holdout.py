"""Holds out a share of the training images of every class, which replaces the test split.

The test images are then never read, so that settings chosen in a search do not depend on them. The held-out images
depend on the data alone and not on a training seed, so that all seeds and methods are evaluated on the same images.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from trainer.core.data.dataset import Dataset, Split
from trainer.core.seeding import generator

_SEED = 0


def held_out(dataset: Dataset, share: float) -> Dataset:
    """Returns `dataset` with held-out training images as its test split, or `dataset` itself if `share` is 0."""
    if share == 0:
        return dataset
    kept_K, held_H = rows(dataset.train.labels_N, len(dataset.classes), share)
    images_NCHW, labels_N = dataset.train.images_NCHW, dataset.train.labels_N
    kept, held = (Split(images_NCHW[chosen], labels_N[chosen]) for chosen in (kept_K, held_H))
    return replace(dataset, train=kept, test=held)


def rows(labels_N: Tensor, classes: int, share: float) -> tuple[Tensor, Tensor]:
    """Returns the row numbers kept for training `[K]` and the held-out ones `[H]`, both ascending.

    The rows held out for a smaller share are among those held out for a larger one.
    """
    kept, held = [], []
    for label in range(classes):
        of_class = (labels_N == label).nonzero().flatten()
        shuffled = of_class[torch.randperm(len(of_class), generator=generator(_SEED, "holdout", label))]
        first = held_size(len(of_class), share)
        held.append(shuffled[:first])
        kept.append(shuffled[first:])
    return torch.cat(kept).sort().values, torch.cat(held).sort().values


def held_size(images: int, share: float) -> int:
    """Returns how many of a class's `images` training images are held out.

    It is at least one but never all of them, and 0 for share 0.
    """
    if share == 0:
        return 0
    return max(min(max(math.floor(share * images + 0.5), 1), images - 1), 0)
