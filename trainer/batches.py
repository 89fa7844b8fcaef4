"""The batches of an epoch: shuffled and augmented ones of a data set, or fixed ones in their order.

Shapes: B batch, C channels or classes, H and W pixels, N images of a split.
"""

from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.core.data import Dataset
from trainer.core.data.augment import Augmentation
from trainer.core.distributed import Workers
from trainer.core.seeding import generator

SplitName = Literal["train", "test"]


class Batches(Protocol):
    """A source of training batches that can also evaluate a network on its splits."""

    samples: int
    """The number of images in one epoch, over all workers."""
    classes: int
    has_test: bool
    """Whether there is a test split to evaluate on."""

    def epoch(self, seed: int, generation: int, epoch: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yields for every step this worker's images `[B, C, H, W]` and labels `[B]`, and the size of the global
        batch."""

    def evaluate(self, model: nn.Module, split: SplitName) -> tuple[float, float]:
        """Returns top-1 accuracy (0..1) and mean cross-entropy without smoothing, in nats.

        The model is evaluated in eval mode and left in train mode.
        """


class DataBatches:
    """Shuffled and augmented batches. Order and augmentation depend only on seed, generation and epoch."""

    def __init__(self, dataset: Dataset, batch_size: int, workers: Workers | None = None) -> None:
        self._dataset, self._batch_size, self._workers = dataset, batch_size, workers or Workers.here()
        self.samples, self.classes, self.has_test = len(dataset.train), len(dataset.classes), len(dataset.test) > 0

    def epoch(self, seed: int, generation: int, epoch: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor, int]]:
        train, device = self._dataset.train, self._dataset.train.labels_N.device
        order_N = torch.randperm(self.samples, generator=generator(seed, "order", generation, epoch)).to(device)
        augmentation = Augmentation.draw(
            self.samples, self._dataset.shift, self._dataset.flip, generator(seed, "augment", generation, epoch)
        ).to(device)
        for batch in torch.split(order_N, self._batch_size):
            rows_B = self._workers.share(batch)
            images_BCHW = augmentation.apply(train.images_NCHW.index_select(0, rows_B), rows_B)
            yield self._dataset.floats(images_BCHW, dtype), train.labels_N[rows_B], len(batch)

    def evaluate(self, model: nn.Module, split: SplitName) -> tuple[float, float]:
        chosen = self._dataset.train if split == "train" else self._dataset.test
        dtype = next(model.parameters()).dtype
        rows_N = self._workers.share(torch.arange(len(chosen), device=chosen.labels_N.device))
        batches = (
            (self._dataset.floats(chosen.images_NCHW[rows_B], dtype), chosen.labels_N[rows_B])
            for rows_B in torch.split(rows_N, 512)
        )
        return evaluate(model, batches, self._workers)


class FixedBatches:
    """Given batches in the same order every epoch, without augmentation. They serve as both splits."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]], classes: int) -> None:
        self._batches = batches
        self.samples, self.classes, self.has_test = sum(len(labels_B) for _, labels_B in batches), classes, True

    def epoch(self, seed: int, generation: int, epoch: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor, int]]:
        for images_BCHW, labels_B in self._batches:
            yield images_BCHW.to(dtype), labels_B, len(labels_B)

    def evaluate(self, model: nn.Module, split: SplitName) -> tuple[float, float]:
        return evaluate(model, iter(self._batches), Workers())


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], workers: Workers) -> tuple[float, float]:
    """Returns top-1 accuracy (0..1) and mean cross-entropy over the batches of all workers."""
    model.eval()
    parameter = next(model.parameters())
    totals = torch.zeros(3, dtype=torch.float64, device=parameter.device)
    for images_BCHW, labels_B in batches:
        logits_BC = model(images_BCHW.to(parameter.dtype))
        totals[0] += (logits_BC.argmax(1) == labels_B).sum()
        totals[1] += functional.cross_entropy(logits_BC, labels_B, reduction="sum")
        totals[2] += len(labels_B)
    model.train()
    correct, loss, count = workers.sum_(totals).tolist()
    return correct / count, loss / count
