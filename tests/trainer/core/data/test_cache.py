"""A cache is opened by its sizes, verified byte by byte, and problems are reported with file and remedy."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainer.core.data.builders import AS_IT_IS, CLASSES, PX, encoded, pixels, tree
from trainer.core.data import cache
from trainer.core.data.errors import DataProblem
from trainer.core.data.manifest import MANIFEST, Manifest, read_manifest
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import ListedSplit, Listing


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a cache of 7 training and 3 test images."""
    listing = tree(tmp_path / "source")
    prepare("toy", tmp_path / "source", tmp_path / "cache", AS_IT_IS, listing=listing)
    return tmp_path / "cache" / "toy" / AS_IT_IS.folder


def rewritten(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / MANIFEST
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_lossless_images_come_back_pixel_by_pixel(made: Path) -> None:
    opened = cache.open_cache(made)
    for name, first, count in (("train", 0, 7), ("test", 7, 3)):
        split = opened.splits[name]
        assert (split.images_NCHW.dtype, split.labels_N.dtype) == (torch.uint8, torch.int64)
        for row in range(count):
            assert np.array_equal(split.images_NCHW[row].permute(1, 2, 0).numpy(), pixels(first + row))
            assert split.labels_N[row] == (first + row) % 2
    assert (made / "test.items.txt").read_text() == "bee/7.jpg\nape/8.jpg\nbee/9.jpg\n"


def test_the_manifest_says_what_numpy_says(made: Path) -> None:
    manifest = read_manifest(made)
    record = manifest.splits["train"]
    images = np.stack([pixels(index) for index in range(7)]).astype(np.float64) / 255
    assert np.allclose(record.channel_mean, images.mean((0, 1, 2)), rtol=1e-12)
    assert np.allclose(record.channel_std, images.std((0, 1, 2)), rtol=1e-12)
    assert (record.n, record.class_counts, manifest.classes) == (7, (4, 3), CLASSES)


def test_images_are_the_pages_of_the_file_and_writing_to_them_reaches_no_file(made: Path) -> None:
    images = cache.open_cache(made).splits["train"].images_NCHW
    if Path("/proc/self/maps").exists():
        mapped = [
            line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("train.images.npy")
        ]
        ranges = [[int(bound, 16) for bound in line.split()[0].split("-")] for line in mapped]
        assert any(first <= images.data_ptr() < last for first, last in ranges)
    images.zero_()
    assert cache.verify(made).rows == 10
    assert torch.count_nonzero(cache.open_cache(made).splits["train"].images_NCHW)


def test_the_digest_is_of_content_and_not_of_circumstances(made: Path) -> None:
    manifest = read_manifest(made)
    elsewhere = replace(manifest.source, root="/other", layout="other", listing_sha256="0")
    same = replace(
        manifest, created="later", tool_version="9", source=elsewhere, problems=("x",), licence="mine", dataset="y"
    )
    assert cache.digest(made) == manifest.digest() == same.digest()
    train = manifest.splits["train"]
    others: list[Manifest] = [
        replace(manifest, classes=("ape", "cow")),
        replace(manifest, recipe=replace(manifest.recipe, crop_bottom_px=1)),
        replace(manifest, splits={**manifest.splits, "train": replace(train, images_sha256="0")}),
        replace(manifest, splits={**manifest.splits, "train": replace(train, labels_sha256="0")}),
        replace(manifest, splits={"train": train}),
    ]
    assert len({each.digest() for each in [manifest, *others]}) == 1 + len(others)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    ("no manifest", lambda d: (d / MANIFEST).unlink(), "manifest.json cannot be read .*no whole cache"),
    ("no JSON", lambda d: (d / MANIFEST).write_text("{"), "manifest.json is not a manifest"),
    ("no object", lambda d: (d / MANIFEST).write_text("3"), "manifest.json is not a manifest"),
    ("other schema", lambda d: rewritten(d, lambda raw: raw.update(schema=7)), "has schema 7, this version reads 1"),
    (
        "no classes",
        lambda d: rewritten(d, lambda raw: raw.pop("classes")),
        "is not a manifest: classes: is required",
    ),
    (
        "other recipe",
        lambda d: rewritten(d, lambda raw: raw.update(recipe8="0")),
        "names recipe 0, and holds one whose key is",
    ),
    ("split name", lambda d: rewritten(d, lambda r: r["splits"].update({"../x": r["splits"]["train"]})), "splits.../x"),
    ("no images", lambda d: (d / "train.images.npy").unlink(), "train.images.npy cannot be read"),
    (
        "cut images",
        lambda d: os.truncate(d / "test.images.npy", 400),
        "test.images.npy has 400 bytes, the manifest says 2,432",
    ),
    ("no npy", lambda d: flip(d / "test.images.npy", 0), "test.images.npy is no .npy file"),
    (
        "other n",
        lambda d: rewritten(d, lambda r: r["splits"]["train"].update(n=6)),
        r"\[7, 3, 16, 16\], the manifest says",
    ),
    ("label", lambda d: flip(d / "train.labels.npy", 129), r"train.labels.npy has labels outside 0\.\.1"),
]


@pytest.mark.parametrize(("spoil", "says"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_what_is_wrong_is_told_on_opening(spoil: Callable[[Path], object], says: str, made: Path) -> None:
    spoil(made)
    with pytest.raises(
        DataProblem, match=f"E_CACHE: .*{says}.*; delete the folder .*{made.name} and prepare"
    ) as caught:
        cache.open_cache(made)
    assert caught.value.code == "E_CACHE"


@pytest.mark.parametrize(("file", "at"), [("train.images.npy", 200), ("test.labels.npy", 128), ("test.items.txt", 1)])
def test_one_flipped_bit_is_found_by_verify(file: str, at: int, made: Path) -> None:
    flip(made / file, at)
    cache.open_cache(made)
    with pytest.raises(DataProblem, match=rf"E_CACHE: .*{file} has sha256 \w+, the manifest says"):
        cache.verify(made)


def test_verify_decodes_rows_again_from_where_the_source_was_or_is(made: Path, tmp_path: Path) -> None:
    assert cache.verify(made) == cache.Verified(
        6, sum(f.stat().st_size for f in made.iterdir() if f.name != MANIFEST), 10, ""
    )
    (tmp_path / "source").rename(tmp_path / "moved")
    gone = cache.verify(made)
    assert (gone.rows, gone.note) == (0, f"its source {tmp_path / 'source'} is not there")
    assert cache.verify(made, tmp_path / "moved").rows == 10
    (tmp_path / "moved/bee/3.jpg").write_bytes(encoded(Image.fromarray(pixels(99))))
    with pytest.raises(DataProblem, match=r"E_CACHE: .*train.images.npy differs in row 3 from .*bee/3.jpg"):
        cache.verify(made, tmp_path / "moved")
    (tmp_path / "moved/bee/3.jpg").unlink()
    with pytest.raises(DataProblem, match=r"E_CACHE: .*names the source .*bee/3.jpg, which cannot be read"):
        cache.verify(made, tmp_path / "moved")


def test_rows_that_are_no_files_are_verified_by_their_reader(tmp_path: Path) -> None:
    items, read = ("0", "1"), lambda item: pixels(int(item))
    listing = Listing(
        "arrays",
        tmp_path,
        CLASSES,
        CLASSES,
        {"all": ListedSplit(items, (0, 1))},
        read=read,
    )
    prepare("toy", tmp_path, tmp_path / "cache", AS_IT_IS, listing=listing)
    directory = cache.find(tmp_path / "cache", "toy", AS_IT_IS)
    assert directory is not None
    assert cache.verify(directory, read=read).rows == 2
    assert cache.verify(directory).note == "its items are no files, and no reader was given"
    with pytest.raises(DataProblem, match="differs in row 0"):
        cache.verify(directory, read=lambda item: pixels(int(item) + 1))


def test_a_cache_is_found_by_recipe_and_variant_and_else_by_another_pillow(tmp_path: Path) -> None:
    listing = tree(tmp_path / "source")
    older = Recipe(PX, pillow="1.0")
    prepare("toy", tmp_path, tmp_path, older, listing=listing)
    assert cache.find(tmp_path, "toy", older) == tmp_path / "toy" / older.folder
    assert cache.find(tmp_path, "toy", Recipe(PX)) == tmp_path / "toy" / older.folder
    assert cache.verify(tmp_path / "toy" / older.folder).note == "prepared by Pillow 1.0, which is not installed"
    prepare("toy", tmp_path, tmp_path, Recipe(PX), listing=listing)
    assert cache.find(tmp_path, "toy", Recipe(PX)) == tmp_path / "toy" / Recipe(PX).folder
    for dataset, recipe, variant in (("toy", AS_IT_IS, ""), ("toy", Recipe(PX), "0123abcd"), ("other", Recipe(PX), "")):
        assert cache.find(tmp_path, dataset, recipe, variant) is None
