"""Preparing trees: equal bytes however often and by how many threads, and what becomes of odd and broken images."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.core.data.builders import (
    AS_IT_IS,
    CLASSES,
    directory,
    encoded,
    facts,
    holding,
    listed,
    made,
    pixels,
    smooth,
    tree,
    truncated,
)
from trainer.core.data import cache
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Archive
from trainer.core.data.manifest import read_manifest
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.prepare.progress import Meter, Progress
from trainer.core.data.recipes import Recipe

TWELVE = ("L", "LA", "P", "RGBA", "1", "RGB", "RGB", "CMYK")


def test_bytes_are_equal_over_two_runs_and_over_threads(tmp_path: Path) -> None:
    listing = tree(tmp_path / "source", 130, 40)
    splits = []
    for count, threads in enumerate((1, 4, 4)):
        one = prepare("toy", tmp_path, tmp_path / f"{count}", Recipe(24), listing=listing, threads=threads)
        splits.append(one.splits)
    assert splits[0] == splits[1] == splits[2]
    assert splits[0]["train"].upscaled == 130


def test_what_is_returned_is_what_is_on_disk_and_is_not_made_twice(tmp_path: Path) -> None:
    listing = tree(tmp_path)
    first = made(tmp_path, listing, clock=lambda: 1e9)
    assert read_manifest(directory(tmp_path)) == first
    assert first.created == "2001-09-09T01:46:40+00:00"
    assert made(tmp_path, listing) == first
    labels = tuple(1 - label for label in listing.splits["test"].labels)
    other = replace(listing, splits={**listing.splits, "test": replace(listing.splits["test"], labels=labels)})
    second = made(tmp_path, other)
    assert second.splits["test"].class_counts == (2, 1)
    assert first.splits["test"].class_counts == (1, 2)
    assert read_manifest(directory(tmp_path)) == second
    assert sorted(each.name for each in directory(tmp_path).parent.glob("[!.]*")) == [directory(tmp_path).name]


def test_a_broken_cache_is_made_again(tmp_path: Path) -> None:
    first = made(tmp_path, tree(tmp_path))
    (directory(tmp_path) / "train.images.npy").unlink()
    assert made(tmp_path, tree(tmp_path)).splits == first.splits
    assert cache.verify(directory(tmp_path)).rows == 10


def test_a_finished_cache_is_given_while_another_holds_the_lock(tmp_path: Path) -> None:
    listing = tree(tmp_path)
    first = made(tmp_path, listing)
    with holding(tmp_path):
        assert made(tmp_path, listing, lock_timeout_s=0.01) == first


def test_conversions_are_counted(tmp_path: Path) -> None:
    items = []
    (tmp_path / "ape").mkdir()
    for index, mode in enumerate(TWELVE):
        image = Image.fromarray(pixels(index)).convert("L" if mode == "LA" else mode)
        image = image.convert(mode)
        (tmp_path / "ape" / f"{index}").write_bytes(encoded(image, "TIFF" if mode == "CMYK" else "PNG"))
        items.append(f"ape/{index}")
    one = made(tmp_path, listed(tmp_path, {"all": tuple(items)}))
    assert one.splits["all"].modes == {"1": 1, "CMYK": 1, "L": 1, "LA": 1, "P": 1, "RGBA": 1}
    assert one.problems == (
        "W_MODE: all: converted to RGB: mode 1 1, mode CMYK 1, mode L 1, mode LA 1, mode P 1, mode RGBA 1",
    )
    assert not one.partial


def test_skipped_rows_leave_images_labels_and_items_together(tmp_path: Path) -> None:
    listing = tree(tmp_path)
    for item in ("ape/0.jpg", "bee/3.jpg", "bee/9.jpg"):
        truncated(tmp_path / item, 40)
    one = made(tmp_path, listing, on_bad_image="skip", facts=facts({"train": 7, "test": 3}))
    opened = cache.open_cache(directory(tmp_path))
    assert opened.splits["train"].labels_N.tolist() == [1, 0, 0, 1, 0]
    assert (directory(tmp_path) / "train.items.txt").read_text().split() == [
        f"{CLASSES[i % 2]}/{i}.jpg" for i in (1, 2, 4, 5, 6)
    ]
    for row, index in enumerate((1, 2, 4, 5, 6)):
        assert np.array_equal(opened.splits["train"].images_NCHW[row].permute(1, 2, 0).numpy(), pixels(index))
    record = one.splits["train"]
    assert (record.n, record.expected_n, record.class_counts) == (5, 7, (3, 2))
    assert (record.skipped, one.splits["test"].skipped) == (("ape/0.jpg", "bee/3.jpg"), ("bee/9.jpg",))
    size = (tmp_path / "ape/0.jpg").stat().st_size
    first = (
        f"E_DECODE left out: {tmp_path}/ape/0.jpg ({size} bytes) cannot be decoded: OSError: image file is truncated"
    )
    assert (one.problems[0].split(" (0")[0], len(one.problems)) == (first, 3)
    kept = np.stack([pixels(index) for index in (1, 2, 4, 5, 6)]) / 255
    assert np.allclose(record.channel_mean, kept.mean((0, 1, 2)))
    assert one.partial
    assert cache.verify(directory(tmp_path)).rows == 7
    with pytest.raises(DataProblem, match=r"E_DECODE"):  # what was skipped once is no licence to skip
        made(tmp_path, listing, on_bad_image="error")


def test_repaired_rows_keep_their_place_and_are_named(tmp_path: Path) -> None:
    recipe = Recipe(64)
    (tmp_path / "ape").mkdir()
    for index in range(3):
        (tmp_path / f"ape/{index}").write_bytes(encoded(smooth(index, 64, 64), "JPEG"))
    truncated(tmp_path / "ape/1", 300)
    listing = listed(tmp_path, {"all": ("ape/0", "ape/1", "ape/2")})
    one = prepare("toy", tmp_path, tmp_path / "cache", recipe, listing=listing, on_bad_image="repair")
    assert (one.splits["all"].n, one.splits["all"].repaired, one.partial) == (3, ("ape/1",), False)
    [reported] = one.problems
    assert reported.startswith("E_DECODE repaired: ")
    assert cache.verify(tmp_path / "cache/toy" / recipe.folder).rows == 3


def test_progress_is_told_twice_a_second_at_most_and_once_at_the_end(tmp_path: Path) -> None:
    reported: list[Progress] = []
    now = iter(range(10_000))
    meter = Meter(
        "toy",
        {"train": 64, "test": 36},
        1000,
        reported.append,
        lambda: next(now) / 10,
    )
    for split, rows in (("train", 64), ("test", 36)):
        for row in range(rows):
            meter.advance(split, 1, int(row == 0))
    assert [each.done for each in reported[:3]] == [5, 10, 15]
    assert len(reported) == 100 // 5
    assert reported[0] == Progress(
        "toy",
        "train",
        5,
        64,
        10.0,
        9.5,
        5000,
        1,
    )
    assert reported[-1] == Progress(
        "toy",
        "test",
        36,
        36,
        10.0,
        0.0,
        100_000,
        2,
    )


def test_the_adapter_the_archive_and_the_subset_are_in_the_manifest(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tree(tmp_path / "tree")
    source.mkdir()
    with zipfile.ZipFile(source / "toy.zip", "w") as archive:
        for path in (tmp_path / "tree").rglob("*.jpg"):
            archive.write(path, path.relative_to(tmp_path / "tree"))
    known = facts({}, (Archive("toy.zip", "https://example.org/toy.zip"),), classes=None)
    one = prepare("folder/mine", source, tmp_path / "cache", AS_IT_IS, facts=known)
    assert one.classes == CLASSES
    assert sum(record.n for record in one.splits.values()) == 10
    assert [(each.name, each.known_good) for each in one.source.archives] == [("toy.zip", None)]
    assert one.licence == f"{known.licence}; the user supplied the data"
    assert cache.find(tmp_path / "cache", "folder/mine", AS_IT_IS) is not None
    with pytest.raises(ValueError, match=r"dataset must be one of .*cub200.*got 'cub'"):
        prepare("cub", source, tmp_path / "cache", AS_IT_IS)
