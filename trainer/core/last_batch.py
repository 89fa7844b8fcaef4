"""Finds batches that BatchNorm cannot normalise in training mode, from counts and shapes alone.

BatchNorm needs more than one value per channel. A batch of one image has one where a map is 1 x 1 pixel.
"""

from collections.abc import Collection
from functools import cache

import torch
from torch import nn

from trainer.core.data import AnyData
from trainer.core.models import AnyModel, skeleton

LARGEST = 65_536
"""The largest batch size that is proposed."""


def batch_problem(
    model: AnyModel, data: AnyData, batch_size: int, workers: int = 1, *, per_worker: bool = False
) -> str | None:
    """Returns why `model` cannot be trained on `data` in such batches, with a batch size that works, or None.

    The last batch of an epoch holds the images that are left. With `per_worker` each of `workers` normalises its own
    share of every batch. Data that is not prepared has no problem here.
    """
    if data.problem() is not None or (norm := single_pixel_norm(model, data.pixels())) is None:
        return None
    shares = workers if per_worker else 1
    images, fewest = sum(data.train_sizes()), 2 * shares
    found = too_small(images, batch_size, fewest)
    if found is None:
        return None
    whose = f"batches of {found}" if found == batch_size else f"a last batch of {found}"
    whole = f"batch_size {batch_size} leaves {whose} of {images} images"
    if shares > 1:
        whole += f", in which one of {workers} workers has a single image"
    works = fitting_size([images], batch_size, fewest)
    remedy = "take more images" if works is None else f"use batch_size {works}"
    return f"{whole}, {cannot(model, data.pixels(), norm)}: {remedy}{', or batch_norm synced' if shares > 1 else ''}"


def cannot(model: AnyModel, pixels: int, norm: str) -> str:
    """Returns the clause that says why one image is too few for the layer `norm`."""
    where = f"{norm} of {model.name} sees 1 x 1 pixels of images of {pixels} x {pixels}"
    return f"and BatchNorm cannot normalise a single value per channel ({where})"


@cache
def single_pixel_norm(model: AnyModel, pixels: int) -> str | None:
    """Returns the first BatchNorm whose map is 1 x 1 pixel for images of `pixels` x `pixels`, or None."""
    network, found = skeleton(model, classes=2).eval(), list[str]()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: found.append(name) if inputs[0].shape[2:].numel() == 1 else None
            )
    network(torch.empty(1, 3, pixels, pixels, device="meta"))
    return next(iter(found), None)


def too_small(images: int, batch_size: int, fewest: int) -> int | None:
    """Returns the size of a batch of fewer than `fewest` images, if `images` are split into batches with one."""
    full, rest = divmod(images, batch_size)
    sizes = [size for size in (batch_size if full else 0, rest) if size]
    return next((size for size in sizes if size < fewest), None)


def fitting_size(counts: Collection[int], batch_size: int, fewest: int) -> int | None:
    """Returns the nearest batch size that splits each of `counts` images into batches of at least `fewest`, or None."""
    most = min(max(*counts, batch_size), LARGEST)
    for distance in range(1, most + 1):
        for size in (batch_size - distance, batch_size + distance):
            if fewest <= size <= most and all(too_small(images, size, fewest) is None for images in counts):
                return size
    return None
