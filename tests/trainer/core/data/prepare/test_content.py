"""What is reused is the same thing: a cache is made again whenever any byte of its images changed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.core.data.builders import encoded, made, pixels, tree
from tests.trainer.core.data.trees import BUILDERS
from trainer.core.data.prepare.content import content_sha256
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import ListedSplit, Listing


def test_a_file_replaced_by_one_of_the_same_size_and_time_gives_other_pixels(tmp_path: Path) -> None:
    listing = tree(tmp_path)
    path = tmp_path / listing.splits["train"].items[0]
    before, first = path.stat(), made(tmp_path, listing)
    payload = bytearray(path.read_bytes())
    other = bytearray(encoded(Image.fromarray(pixels(99))))
    other += bytes(max(0, len(payload) - len(other)))  # bytes after the end of a PNG file are ignored
    payload += bytes(max(0, len(other) - len(payload)))
    path.write_bytes(payload)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    padded = made(tmp_path, listing)
    assert padded.digest() == first.digest()
    path.write_bytes(other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == len(payload)
    assert made(tmp_path, listing).digest() != first.digest()


def test_the_same_names_in_another_folder_give_the_pixels_of_that_folder(tmp_path: Path) -> None:
    first = made(tmp_path, tree(tmp_path))
    other = tree(tmp_path / "other")
    (tmp_path / "other" / other.splits["test"].items[0]).write_bytes(encoded(Image.fromarray(pixels(77))))
    assert made(tmp_path, other).digest() != first.digest()


def test_equal_bytes_elsewhere_are_not_decoded_again(tmp_path: Path) -> None:
    first = made(tmp_path, tree(tmp_path), clock=lambda: 1e9)
    assert made(tmp_path, tree(tmp_path / "moved")) == first


@pytest.mark.parametrize("how", ["skip", "repair"])
def test_a_mended_image_counts_again(tmp_path: Path, how: str) -> None:
    listing = tree(tmp_path)
    path = tmp_path / listing.splits["train"].items[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 60])
    bad = made(tmp_path, listing, on_bad_image=how)
    assert bad.splits["train"].skipped + bad.splits["train"].repaired == listing.splits["train"].items[:1]
    path.write_bytes(whole)
    mended = made(tmp_path, listing, on_bad_image=how)
    assert mended.splits["train"].n == 7
    assert not mended.splits["train"].skipped + mended.splits["train"].repaired
    assert made(tmp_path, listing) == mended


def test_an_image_of_a_data_set_with_label_files_is_read_too(tmp_path: Path) -> None:
    built = BUILDERS["cub200"](tmp_path / "cub")
    first = prepare("cub200", built.root, tmp_path / "cache", Recipe(16), allow_partial=True)
    path = built.own / built.lossless[0]
    path.write_bytes(encoded(Image.fromarray(pixels(55))))
    again = prepare("cub200", built.root, tmp_path / "cache", Recipe(16), allow_partial=True)
    assert again.digest() != first.digest()


def test_rows_of_arrays_and_files_that_are_gone_have_a_digest(tmp_path: Path) -> None:
    rows = {"a": np.zeros((2, 2, 3), np.uint8)}
    listing = Listing("", tmp_path, ("x",), ("x",), {"all": ListedSplit(("a",), (0,))}, read=rows.__getitem__)
    first = content_sha256(listing)
    rows["a"] = np.ones((2, 2, 3), np.uint8)
    assert content_sha256(listing) != first
    files = tree(tmp_path)
    whole = content_sha256(files)
    shutil.rmtree(tmp_path / "ape")
    assert content_sha256(files) != whole
