"""Models, schedule, seeding, data and augmentation against the numbers of protocols and datasets."""

import math

import pytest
import torch
from torchvision.transforms import functional as vision

from trainer.core import data, models
from trainer.core.data.augment import random_shift, shift_offsets
from trainer.core.schedule import Schedule
from trainer.core.seeding import generator


def test_no_draw_touches_the_global_generator() -> None:
    before = torch.get_rng_state()
    models.build(models.DigitsResNet(width=4), 10, 0)
    data.named("digits-noisy").load()
    shift_offsets(10, 2, generator(0, "augment"))
    assert torch.equal(torch.get_rng_state(), before)


def test_equal_addresses_give_equal_draws_and_others_do_not() -> None:
    def draw(*address: int) -> list[float]:
        return torch.rand(4, generator=generator(3, "order", *address)).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert len({tuple(draw(*address)) for address in ((1, 2), (2, 1), (1, 2, 0), (12,))}) == 4


def test_schedule_check_values() -> None:
    """protocols 2.6, E = 160."""
    paper, code = Schedule(), Schedule(warmup_epochs=20)

    def rate(schedule: Schedule, base: float, epoch: int, generation: int = 3) -> float:
        return base * schedule.factor(generation, epoch, 160, 10)

    assert [rate(code, 0.1, epoch) for epoch in (0, 19, 20)] == pytest.approx([0.005, 0.1, 0.1], rel=1e-12)
    assert [rate(code, 0.1, epoch) for epoch in (39, 40)] == pytest.approx([0.09552, 0.09505], abs=5e-6)
    assert rate(code, 0.1, 159) == pytest.approx(1e-5, rel=0.3)
    assert [rate(paper, 0.01, epoch) for epoch in (0, 39, 40)] == pytest.approx([0.01, 0.008604, 0.008536], abs=5e-7)
    assert rate(paper, 0.01, 159) == pytest.approx(1e-6, rel=0.1)


def test_a_run_wide_schedule_is_one_cosine_over_all_generations() -> None:
    long = Schedule(scope="run")
    assert long.factor(0, 0, 4, 2) == 1
    assert long.factor(1, 0, 4, 2) == pytest.approx(0.5)
    assert long.factor(1, 3, 4, 2) == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))


def test_a_constant_schedule_stays() -> None:
    assert {Schedule(shape="constant").factor(g, e, 4, 2) for g in range(2) for e in range(4)} == {1.0}


@pytest.mark.parametrize(
    ("name", "train", "test", "classes", "smallest"),
    [
        ("digits", 901, 896, 10, 174),
        ("digits-noisy", 300, 896, 10, 174),
        ("digits-inverted", 901, 896, 10, 174),
        ("digits-rot90", 901, 896, 10, 174),
        ("digits-edges", 901, 896, 10, 174),
    ],
)
def test_sizes_of_the_digits_family(name: str, train: int, test: int, classes: int, smallest: int) -> None:
    spec = data.named(name)
    loaded = spec.load()
    assert (len(loaded.train), len(loaded.test), len(loaded.classes), spec.smallest_class()) == (
        train,
        test,
        classes,
        smallest,
    )
    assert loaded.train.images_NCHW.shape == (train, 3, 16, 16)
    assert loaded.train.images_NCHW.dtype == torch.uint8


def test_the_halves_share_no_class_and_hold_all_digits() -> None:
    low, high = data.named("digits-0-4").load(), data.named("digits-5-9").load()
    assert low.classes + high.classes == tuple("0123456789")
    assert sum(len(split) for half in (low, high) for split in (half.train, half.test)) == 1797
    assert set(low.train.labels_N.tolist()) == set(high.test.labels_N.tolist()) == {0, 1, 2, 3, 4}


def test_noise_replaces_exactly_the_asked_share_by_other_classes() -> None:
    clean = data.digits.DigitsNoisy(label_noise=0).load().train
    noisy = data.digits.DigitsNoisy(label_noise=0.4).load().train
    assert torch.equal(clean.images_NCHW, noisy.images_NCHW)
    assert clean.labels_N.bincount().tolist() == [30] * 10
    assert int((clean.labels_N != noisy.labels_N).sum()) == 120


def test_variants_are_made_of_the_same_pixels() -> None:
    plain, inverted, turned = (
        data.named(f"digits{suffix}").load().test.images_NCHW for suffix in ("", "-inverted", "-rot90")
    )
    assert torch.equal(255 - plain, inverted)
    assert torch.equal(plain.rot90(1, (2, 3)), turned)


def test_edges_are_the_gradient_magnitude() -> None:
    image = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    image[..., 8:] = 200
    edges = data.digits._edges(image)
    assert (edges[..., 7:9] == 255).all()
    assert (edges[..., :6] == 0).all()
    assert (edges[..., 10:] == 0).all()


def test_random_shift_equals_torchvisions_pad_and_crop() -> None:
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=generator(0, "data"))
    offsets = shift_offsets(6, 2, generator(0, "augment"))
    shifted = random_shift(images, offsets, 2)
    for image, (top, left), ours in zip(images, offsets.tolist(), shifted, strict=True):
        assert torch.equal(vision.crop(vision.pad(image, [2]), top, left, 16, 16), ours)


def test_offsets_cover_the_whole_range_evenly() -> None:
    counts = shift_offsets(5000, 2, generator(0, "augment")).flatten().bincount()
    assert counts.tolist() == pytest.approx([2000] * 5, rel=0.1)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="digits-nosy"):
        data.named("digits-nosy")
    assert len(data.names()) == 20
