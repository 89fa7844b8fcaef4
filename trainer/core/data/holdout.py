"""A share of the training images of every class, held out: it stands in place of the test split, which is then never read.

What is chosen on it (settings in a search) owes nothing to the test images. Which images are held out depends on the data
alone, never on a training seed, so all seeds and methods are judged on the same ones.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from trainer.core.data.dataset import Dataset, Split
from trainer.core.seeding import generator

_SEED = 0


def held_out(dataset: Dataset, share: float) -> Dataset:
    """`dataset` with its held-out training images as its test split; as it is where `share` is 0."""
    if share == 0:
        return dataset
    kept_K, held_H = rows(dataset.train.labels_N, len(dataset.classes), share)
    images_NCHW, labels_N = dataset.train.images_NCHW, dataset.train.labels_N
    kept, held = (Split(images_NCHW[chosen], labels_N[chosen]) for chosen in (kept_K, held_H))
    return replace(dataset, train=kept, test=held)


def rows(labels_N: Tensor, classes: int, share: float) -> tuple[Tensor, Tensor]:
    """Row numbers that stay for training and that are held out, both ascending; a smaller share is part of a larger one."""
    kept, held = [], []
    for label in range(classes):
        of_class = (labels_N == label).nonzero().flatten()
        shuffled = of_class[torch.randperm(len(of_class), generator=generator(_SEED, "holdout", label))]
        first = held_size(len(of_class), share)
        held.append(shuffled[:first])
        kept.append(shuffled[first:])
    return torch.cat(kept).sort().values, torch.cat(held).sort().values


def held_size(images: int, share: float) -> int:
    """How many of a class's training images are held out: at least one, and never the last one; none for share 0."""
    if share == 0:
        return 0
    return max(min(max(math.floor(share * images + 0.5), 1), images - 1), 0)
