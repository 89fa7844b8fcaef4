"""Batches that BatchNorm cannot normalise, compared with what torch itself refuses."""

from typing import Any

import pytest
import torch
from torch import nn

from trainer.core import models
from trainer.core.data.digits import Digits, DigitsNoisy
from trainer.core.last_batch import batch_problem, fitting_size, single_pixel_norm, too_small

R18 = models.ImageNetResNet(name="resnet18")
NETWORKS: list[tuple[models.AnyModel, int]] = [
    (R18, 16),
    (R18, 32),
    (R18, 33),
    (R18, 64),
    (models.DigitsResNet(width=2), 8),
    (models.DigitsResNet(width=2), 9),
    (models.DigitsResNet(width=2), 16),
    (models.CifarResNet18(name="resnet18-cifar"), 8),
    (models.CifarResNet18(name="resnet18-cifar"), 16),
    (models.CifarPreActResNet18(name="preact-resnet18-cifar"), 8),
    (models.CifarPreActResNet18(name="preact-resnet18-cifar", block="he-2016"), 12),
    (models.CifarResNet110(name="resnet110-cifar"), 4),
    (models.CifarResNet110(name="resnet110-cifar", shortcut="pad"), 8),
]


@pytest.mark.parametrize(("model", "pixels"), NETWORKS, ids=str)
def test_torch_refuses_one_image_exactly_where_a_single_pixel_is_found(model: models.AnyModel, pixels: int) -> None:
    network = models.build(model, 2, 0).train()
    found = single_pixel_norm(model, pixels)
    if found is None:
        network(torch.zeros(1, 3, pixels, pixels))
        return
    assert isinstance(network.get_submodule(found), nn.BatchNorm2d)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        network(torch.zeros(1, 3, pixels, pixels))
    network(torch.zeros(2, 3, pixels, pixels))


def test_sizes_are_those_of_a_plain_split() -> None:
    for images in range(1, 40):
        for batch_size in range(1, 45):
            for fewest in (2, 4, 6):
                sizes = [len(batch) for batch in torch.split(torch.arange(images), batch_size)]
                assert (too_small(images, batch_size, fewest) is None) == all(size >= fewest for size in sizes)
            if too_small(images, batch_size, 2) is not None:
                works = fitting_size([images], batch_size, 2)
                assert (works is None) == (images == 1)
                assert works is None or too_small(images, works, 2) is None


def test_shares_of_workers_are_those_that_they_take() -> None:
    """A worker takes every count-th row of a batch; the rule is that no share may be a single image."""
    for workers in (2, 3, 4):
        for batch in range(1, 20):
            shares = [len(range(rank, batch, workers)) for rank in range(workers)]
            assert (too_small(batch, batch, 2 * workers) is not None) == (1 in shares)


@pytest.mark.parametrize(
    ("data", "batch_size", "options", "told"),
    [
        (Digits(), 100, {}, "batch_size 100 leaves a last batch of 1 of 901 images, and BatchNorm cannot normalise a"),
        (Digits(), 100, {}, "layer3.0.bn1 of resnet18 sees 1 x 1 pixels of images of 16 x 16): use batch_size 99"),
        (Digits(), 1, {}, "batch_size 1 leaves batches of 1 of 901 images"),
        (Digits(), 1, {}, "use batch_size 7"),
        (Digits(), 900, {}, "use batch_size 899"),
        (Digits(holdout=0.2), 103, {}, "a last batch of 1 of 722 images"),
        (Digits(), 100, {"workers": 4}, "a last batch of 1 of 901 images"),
        (Digits(), 99, {"workers": 8, "per_worker": True}, "a last batch of 10 of 901 images, in which one of 8 work"),
        (Digits(), 99, {"workers": 8, "per_worker": True}, "or batch_norm synced"),
        (Digits(), 10, {"workers": 8, "per_worker": True}, "leaves batches of 10 of 901 images, in which one of 8"),
        (DigitsNoisy(train_per_class=1, holdout=0.5), 16, {"workers": 8, "per_worker": True}, "take more images"),
    ],
)
def test_such_batches_are_refused_with_one_that_works(
    data: Any, batch_size: int, options: dict[str, Any], told: str
) -> None:
    message = batch_problem(R18, data, batch_size, **options)
    assert message is not None
    assert told in message
    if "use batch_size " in message:
        remedy = int(message.split("use batch_size ")[1].split(",")[0])
        assert batch_problem(R18, data, remedy, **options) is None


@pytest.mark.parametrize(
    ("model", "data", "batch_size", "options"),
    [
        (R18, Digits(), 901, {}),
        (R18, Digits(), 32, {}),
        (R18, Digits(holdout=0.2), 100, {}),
        (R18, Digits(), 99, {"workers": 8}),
        (R18, Digits(), 17, {"workers": 1, "per_worker": True}),
        (models.DigitsResNet(), Digits(), 100, {}),
        (models.DigitsResNet(), Digits(), 1, {}),
    ],
)
def test_what_trains_is_not_refused(model: models.AnyModel, data: Any, batch_size: int, options: Any) -> None:
    assert batch_problem(model, data, batch_size, **options) is None
