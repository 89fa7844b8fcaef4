"""Augmentation against torchvision, image by image at the same parameters."""

import pytest
import torch
from torchvision.transforms import functional as vision

from trainer.batches import DataBatches
from trainer.core.data import Dataset, Split
from trainer.core.data.augment import Augmentation, mirrored, random_shift, shift_offsets
from trainer.core.seeding import generator

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator(0, "data"))


def test_a_batch_equals_torchvisions_crop_flip_to_tensor_and_normalise() -> None:
    images = _images(24, 64, 64)
    dataset = Dataset(
        "noise",
        ("a",),
        Split(images, torch.zeros(24, dtype=torch.int64)),
        Split(images, images),
        MEAN,
        STD,
    )
    drawn = Augmentation.draw(24, 4, True, generator(3, "augment", 0, 0))
    rows = torch.randperm(24, generator=generator(3, "order", 0, 0))
    ours = dataset.floats(drawn.apply(images[rows], rows))
    assert drawn.offsets_N2 is not None
    assert drawn.flips_N is not None
    assert 0 < drawn.flips_N.sum() < 24
    for row, mine in zip(rows.tolist(), ours, strict=True):
        top, left = drawn.offsets_N2[row].tolist()
        theirs = vision.crop(vision.pad(vision.to_pil_image(images[row]), [4]), top, left, 64, 64)
        theirs = vision.hflip(theirs) if drawn.flips_N[row] else theirs
        assert (mine - vision.normalize(vision.to_tensor(theirs), MEAN, STD)).abs().max() < 1e-6


@pytest.mark.parametrize(("height", "width", "pixels"), [(8, 5, 1), (5, 8, 3), (4, 4, 0)])
def test_every_corner_of_an_image_that_is_not_square(height: int, width: int, pixels: int) -> None:
    corners = [(top, left) for top in range(2 * pixels + 1) for left in range(2 * pixels + 1)]
    images = _images(len(corners), height, width)
    shifted = random_shift(images, torch.tensor(corners), pixels)
    padded = torch.zeros(len(corners), 3, height + 2 * pixels, width + 2 * pixels, dtype=torch.uint8)
    padded[:, :, pixels : pixels + height, pixels : pixels + width] = images
    for one, (top, left), ours in zip(padded, corners, shifted, strict=True):
        assert torch.equal(ours, one[:, top : top + height, left : left + width])


def test_only_the_named_images_are_mirrored() -> None:
    images = _images(3, 4, 6)
    turned = mirrored(images, torch.tensor([True, False, True]))
    assert torch.equal(turned[1], images[1])
    assert torch.equal(turned[::2], images[::2].flip(3))


def test_what_an_image_becomes_depends_on_its_row_and_not_on_its_batch() -> None:
    images = _images(10, 16, 16)
    train = Split(images, torch.arange(10))
    dataset = Dataset(
        "noise",
        tuple("0123456789"),
        train,
        train,
        MEAN,
        STD,
        shift=2,
        flip=True,
    )

    def epoch(batch_size: int) -> torch.Tensor:
        batches = DataBatches(dataset, batch_size).epoch(5, 1, 2, torch.float64)
        return torch.cat([images for images, _, _ in batches])

    assert torch.equal(epoch(3), epoch(10))


def test_without_shift_and_flip_nothing_changes() -> None:
    images = _images(4, 8, 8)
    drawn = Augmentation.draw(4, 0, False, generator(0, "augment"))
    assert torch.equal(drawn.apply(images, torch.arange(4)), images)


def test_floats_may_be_shifted_too() -> None:
    images = _images(6, 8, 8)
    offsets = shift_offsets(6, 2, generator(0, "augment"))
    assert torch.equal(random_shift(images.double(), offsets, 2), random_shift(images, offsets, 2).double())


def test_a_worker_without_a_share_of_the_last_batch_gets_none() -> None:
    drawn = Augmentation.draw(4, 2, True, generator(0, "augment"))
    assert drawn.apply(_images(4, 8, 8)[:0], torch.arange(0)).shape == (0, 3, 8, 8)
