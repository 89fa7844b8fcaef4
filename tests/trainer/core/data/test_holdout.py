"""Held-out training images: which they are, that the rest is unchanged, and that no test image is among them."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.core.data.trees import BUILDERS
from trainer.core import data
from trainer.core.data import recipes
from trainer.core.data.digits import Digits, DigitsHalf, DigitsNoisy, DigitsShifted
from trainer.core.data.holdout import held_out, held_size, rows
from trainer.core.data.paper import cache_root
from trainer.core.data.prepare.pipeline import prepare

FAMILY = [
    Digits(),
    DigitsNoisy(train_per_class=9),
    DigitsNoisy(train_per_class=40, label_noise=0.0),
    DigitsHalf(name="digits-5-9"),
    DigitsShifted(name="digits-edges"),
]


def pictures(images_NCHW: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images_NCHW]


@pytest.mark.parametrize(
    ("images", "share", "held"),
    [(10, 0.2, 2), (10, 0.25, 3), (10, 0.01, 1), (10, 0.99, 9), (2, 0.1, 1), (1, 0.5, 0), (0, 0.5, 0), (30, 0.0, 0)],
)
def test_every_class_gives_its_share_at_least_one_and_never_all(images: int, share: float, held: int) -> None:
    assert held_size(images, share) == held


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.9))
def test_the_rows_are_split_by_class_and_none_is_lost(labels: list[int], share: float) -> None:
    labels_N = torch.tensor(labels)
    kept, held = rows(labels_N, 4, share)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist())
    for label in range(4):
        of_class = labels.count(label)
        assert int((labels_N[held] == label).sum()) == held_size(of_class, share)
        assert abs(held_size(of_class, share) - share * of_class) <= max(
            0.5, 1 - share * of_class, share * of_class - of_class + 1
        )


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    labels_N = torch.arange(200) % 10
    shares = [set(rows(labels_N, 10, share)[1].tolist()) for share in (0.1, 0.2, 0.5)]
    assert [len(each) for each in shares] == [20, 40, 100]
    assert shares[0] < shares[1] < shares[2]


def test_the_draw_is_not_the_first_images_of_a_class() -> None:
    """Files often lie in an order that means something, such as the writer or the day."""
    _, held = rows(torch.zeros(1000, dtype=torch.int64), 1, 0.2)
    assert math.isclose(held.double().mean(), 499.5, abs_tol=5 * 1000 / math.sqrt(12 * 200))


@pytest.mark.parametrize("spec", FAMILY, ids=lambda spec: spec.name)
def test_train_and_held_out_are_the_training_images_and_the_test_images_are_gone(spec: Digits) -> None:
    whole, cut = spec.load(), spec.model_copy(update={"holdout": 0.2}).load()
    both = sorted(pictures(cut.train.images_NCHW) + pictures(cut.test.images_NCHW))
    assert both == sorted(pictures(whole.train.images_NCHW))
    assert set(both).isdisjoint(pictures(whole.test.images_NCHW))
    assert (cut.classes, cut.mean, cut.std, cut.shift, cut.flip) == (
        whole.classes,
        whole.mean,
        whole.std,
        whole.shift,
        whole.flip,
    )
    labelled = dict(zip(pictures(whole.train.images_NCHW), whole.train.labels_N.tolist(), strict=True))
    for split in (cut.train, cut.test):  # noise and all
        assert [labelled[each] for each in pictures(split.images_NCHW)] == split.labels_N.tolist()


@pytest.mark.parametrize("spec", FAMILY, ids=lambda spec: spec.name)
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_what_is_said_without_the_pixels_is_what_they_are(spec: Digits, share: float) -> None:
    cut = spec.model_copy(update={"holdout": share})
    loaded, classes = cut.load(), len(cut.class_names())
    assert cut.train_sizes() == torch.bincount(loaded.train.labels_N, minlength=classes).tolist()
    assert cut.test_size() == len(loaded.test)
    if share:
        pool = torch.bincount(torch.cat([loaded.train.labels_N, loaded.test.labels_N]), minlength=classes)
        assert cut.smallest_class() == int(pool.min())


def test_data_of_which_nothing_is_held_out_is_the_very_same() -> None:
    whole = DigitsNoisy(train_per_class=5).load()
    assert held_out(whole, 0) is whole
    assert "holdout" not in DigitsNoisy(train_per_class=5).model_dump(
        exclude_defaults=True
    )  # so that content keys stay


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("digits", "digits"),
        ("digits%0.2", "digits.holdout0.2"),
        ("digits-noisy%0.125", "digits-noisy.holdout0.125"),
        ("eurosat@cdfsl-64%0.5", "eurosat.cdfsl-64.holdout0.5"),
        ("cub200+0123abcd%0.1#" + "a" * 64 + "!partial", "cub200.0123abcd.partial.holdout0.1"),
        ("folder:birds%0.3", "folder:birds.holdout0.3"),
    ],
)
def test_a_share_is_part_of_the_name(text: str, label: str) -> None:
    assert data.named(text).text() == text
    assert data.named(text).label == label


@pytest.mark.parametrize("text", ["digits%", "digits%1", "digits%-0.2", "digits%.", "digits%nan", "%0.2"])
def test_other_shares_are_no_data_set(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        data.named(text)


@pytest.mark.parametrize(("name", "recipe"), [("tiny-imagenet", "probe-64"), ("eurosat", "cdfsl-64")])
def test_prepared_data_is_held_out_alike(
    name: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a test split of its own, and without one."""
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "data"))
    prepare(
        name, BUILDERS[name](tmp_path / "source").root, cache_root(), recipes.named(recipe, name), allow_partial=True
    )
    spec, cut = data.named(f"{name}@{recipe}").resolved(), data.named(f"{name}@{recipe}%0.34").resolved()
    whole, loaded = spec.load(), cut.load()
    sizes = torch.bincount(whole.train.labels_N, minlength=len(whole.classes)).tolist()
    held = [held_size(size, 0.34) for size in sizes]
    assert sum(held) > 0
    assert cut.train_sizes() == [size - out for size, out in zip(sizes, held, strict=True)]
    assert (len(loaded.train), len(loaded.test)) == (sum(cut.train_sizes()), cut.test_size())
    assert cut.test_size() == sum(held)
    assert cut.smallest_class() == min(sizes)
    both = pictures(loaded.train.images_NCHW) + pictures(loaded.test.images_NCHW)
    assert sorted(both) == sorted(pictures(whole.train.images_NCHW))
    assert data.named(cut.text()) == cut
