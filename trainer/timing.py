"""Measures how long training steps take on this machine, by running a few of them on random images.

The steps are those of `trainer.loop` with its data path, augmentation and CUDA graphs. Only the pixels and the learning
rate differ. Shapes: N images, B batch, H and W pixels.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice

import torch
from torch import Tensor, nn

from trainer import loop
from trainer.batches import DataBatches, SplitName
from trainer.core.data import Dataset, Split
from trainer.methods import Normal
from trainer.spec import TrainSpec

WARM_UP = 3
"""Untimed steps at the start, in which libraries select algorithms and allocate memory and a CUDA graph is captured."""
MOST, LEAST = 20, 2
"""The largest number of timed blocks of steps, and the number that is timed even if the time is used up."""
STILL = 1e-9
"""The learning rate, which is so small that random labels cannot make the loss diverge."""


@dataclass(frozen=True)
class Timing:
    """Measured times in seconds.

    `step_s` holds the mean seconds per step of each block of steps. `judged_image_s` is the evaluation time per test
    image.
    """

    step_s: tuple[float, ...]
    judged_image_s: float


def measure(
    spec: TrainSpec,
    generation: int,
    classes: int,
    pixels: int,
    device: torch.device,
    budget_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Times steps of `spec` as in `generation` on images of `pixels` x `pixels`, for about `budget_s` seconds.

    The data that the spec names is not read. The caller sets the number of threads.
    """
    ordinary = spec.method.step_kind(generation) == "ordinary"
    generation = 0 if ordinary or generation == 0 or spec.method.needs_own_start() else 1
    settings = {"lr": STILL, "generations": max(spec.train.generations, 2), "evaluate_every": 1}
    changes = {"train": spec.train.model_copy(update=settings)} | ({"method": Normal()} if ordinary else {})
    spec = spec.model_copy(update=changes)
    batches = _Timed(
        _images(spec.train.batch_size, classes, pixels, device),
        spec.train.batch_size,
        device,
        budget_s,
        clock,
    )
    state = loop.start(spec, classes, device)
    state.generation, state.monitors = generation, {"train_accuracy_at_start": 0.0}
    next(loop.train(spec, state, batches))
    return Timing(tuple(batches.step_s), batches.judged_image_s)


@dataclass
class _Clock:
    """Reads the clock after the device has finished its work."""

    device: torch.device
    clock: Callable[[], float]

    def __call__(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock()


class _Timed(DataBatches):
    """Batches whose epoch ends when enough steps are timed, and whose evaluation is timed."""

    def __init__(
        self, dataset: Dataset, batch_size: int, device: torch.device, budget_s: float, clock: Callable[[], float]
    ) -> None:
        super().__init__(dataset, batch_size)
        self._test_images, self._budget_s = len(dataset.test), budget_s
        self._now = _Clock(device, clock)
        self._block = 10 if device.type == "cuda" else 1  # waiting for a GPU after every step would slow it down
        self.step_s: list[float] = []
        self.judged_image_s = 0.0

    def epoch(self, seed: int, generation: int, epoch: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor, int]]:
        one = super().epoch
        endless = chain.from_iterable(one(seed, generation, number, dtype) for number in count())
        yield from islice(endless, WARM_UP)
        began = before = self._now()
        while len(self.step_s) < LEAST or (len(self.step_s) < MOST and before - began < self._budget_s):
            yield from islice(endless, self._block)
            now = self._now()
            self.step_s.append((now - before) / self._block)
            before = now

    def evaluate(self, model: nn.Module, split: SplitName) -> tuple[float, float]:
        began = self._now()
        found = super().evaluate(model, split)
        if split == "test":
            self.judged_image_s = (self._now() - began) / self._test_images
        return found


def _images(batch_size: int, classes: int, pixels: int, device: torch.device) -> Dataset:
    """Returns random images: four batches to train on, and some images to evaluate on.

    They are augmented like CIFAR and Tiny-ImageNet.
    """
    random = torch.Generator().manual_seed(0)

    def split(images: int) -> Split:
        images_NCHW = torch.randint(0, 256, (images, 3, pixels, pixels), generator=random, dtype=torch.uint8)
        return Split(images_NCHW, torch.randint(0, classes, (images,), generator=random)).to(device)

    evaluated = 512 if device.type == "cuda" else min(batch_size, 32)
    names = tuple(str(label) for label in range(classes))
    grey = (0.5, 0.5, 0.5)
    return Dataset(
        "made-up",
        names,
        split(4 * batch_size),
        split(evaluated),
        grey,
        grey,
        shift=4,
        flip=True,
    )
