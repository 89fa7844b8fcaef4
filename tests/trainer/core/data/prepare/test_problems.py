"""Every problem of preparing, caused for real, reported with its code and a remedy; nothing incomplete stays."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.core.data.builders import AS_IT_IS, CLASSES, facts, holding, made, nothing_made, tree, truncated
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import Archive
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import ListedSplit, Listing
from trainer.core.disk import Disk


def test_a_truncated_image_stops_it_and_the_first_one_is_told(tmp_path: Path) -> None:
    listing = tree(tmp_path, 100, 10)
    for item in ("bee/97.jpg", "ape/40.jpg"):
        truncated(tmp_path / item, 40)
    with pytest.raises(
        DataProblem, match=r"E_DECODE: .*/ape/40\.jpg \(\d+ bytes\) cannot be decoded: \w+.*; fetch the file again"
    ) as caught:
        made(tmp_path, listing, threads=4)
    assert caught.value.code == "E_DECODE"
    assert nothing_made(tmp_path)


def test_a_split_without_one_good_image_is_refused(tmp_path: Path) -> None:
    listing = tree(tmp_path, 2, 1)
    (tmp_path / "ape/2.jpg").write_bytes(b"")
    with pytest.raises(DataProblem, match=r"E_DECODE: not one image of test can be decoded; the first: .*ape/2\.jpg"):
        made(tmp_path, listing, on_bad_image="skip")


@pytest.mark.parametrize(
    ("splits", "classes", "says"),
    [
        ({"train": 8, "test": 3}, 2, "train 7 of 8 images; test 3 of 3 images; 2 of 2 classes"),
        ({"train": 7, "test": 3}, 3, "2 of 3 classes; classes with fewest images: n01 5, n02 5"),
        ({"train": 7, "val": 1}, 2, "val 0 of 1 images; test 3 images, unknown to the data set"),
    ],
)
def test_an_incomplete_tree_is_refused_or_marked(
    splits: dict[str, int], classes: int, says: str, tmp_path: Path
) -> None:
    listing, known = tree(tmp_path), facts(splits, classes=classes)
    with pytest.raises(
        DataProblem, match=f"E_COUNT: toy as found in .* is not complete: .*{says}.*or go on with allow-partial"
    ) as caught:
        made(tmp_path, listing, facts=known)
    assert caught.value.code == "E_COUNT"
    one = made(tmp_path, listing, facts=known, allow_partial=True)
    assert one.partial
    assert says in one.problems[0]


def test_the_five_classes_that_miss_most_are_named(tmp_path: Path) -> None:
    names = tuple("abcdefg")
    labels = tuple(label for label in range(7) for _ in range(label))
    listing = Listing(
        "x",
        tmp_path,
        names,
        names,
        {"all": ListedSplit(tuple(map(str, labels)), labels)},
    )
    known = replace(facts({"all": 70}, classes=7), class_counts=dict.fromkeys(names, 10))
    with pytest.raises(
        DataProblem, match=r"with most missing: a 0 of 10, b 1 of 10, c 2 of 10, d 3 of 10, e 4 of 10; fetch"
    ):
        made(tmp_path, listing, facts=known)


def test_an_empty_split_is_incomplete_and_an_empty_tree_hopeless(tmp_path: Path) -> None:
    listing = tree(tmp_path, 4, 0)
    with pytest.raises(DataProblem, match=r"E_COUNT: .*train 4 images; test 0 images"):
        made(tmp_path, listing)
    assert set(made(tmp_path, listing, allow_partial=True).splits) == {"train"}
    with pytest.raises(DataProblem, match=r"E_COUNT: .*not one image to prepare"):
        made(tmp_path, tree(tmp_path, 0, 0), allow_partial=True)


@pytest.mark.parametrize("item", ["ape/a\nb", "/etc/passwd", "../x"])
def test_an_item_that_is_no_path_below_the_root_is_refused(item: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"E_LABEL: .*no path below"):
        made(
            tmp_path,
            Listing(
                "x",
                tmp_path,
                CLASSES,
                CLASSES,
                {"all": ListedSplit((item,), (0,))},
            ),
        )


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    recipe = Recipe(4096)
    rows = shutil.disk_usage(tmp_path).total // (3 * 4096**2) + 1
    listing = Listing(
        "x",
        tmp_path,
        CLASSES,
        CLASSES,
        {"all": ListedSplit(("a",) * rows, (0,) * rows)},
    )
    with pytest.raises(
        DataProblem, match=r"E_DISK: [\d,]{13,} bytes are needed and [\d,]+ are free in .*; make room"
    ) as caught:
        prepare("toy", tmp_path, tmp_path / "cache", recipe, listing=listing)
    assert caught.value.code == "E_DISK"
    assert nothing_made(tmp_path)


class Refusing(Disk):
    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, path: Path, payload: bytes) -> None:
        raise OSError(self._number, "the disk's words", str(path))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, r"E_DISK: [\d,]+ bytes are needed and [\d,]+ are free"),
        (errno.EDQUOT, "E_DISK"),
        (errno.EROFS, r"E_PERM: .*labels\.npy cannot be written \(the disk's words\); choose a folder"),
        (errno.EACCES, "E_PERM"),
    ],
)
def test_a_disk_that_refuses_on_the_way_is_told_and_nothing_stays(number: int, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=says):
        made(tmp_path, tree(tmp_path), disk=Refusing(number))
    assert nothing_made(tmp_path)


def test_a_cache_root_that_cannot_be_a_folder_is_a_matter_of_permission(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataProblem, match=r"E_PERM: .*cannot be written") as caught:
        made(tmp_path, tree(tmp_path))
    assert caught.value.code == "E_PERM"


def test_a_locked_cache_is_waited_for_and_then_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    says = r"E_LOCKED: another process is at work on toy as .* did not end in 0\.01 s; wait for it"
    with holding(tmp_path), pytest.raises(DataProblem, match=says) as caught:
        made(tmp_path, tree(tmp_path), lock_timeout_s=0.01)
    assert caught.value.code == "E_LOCKED"
    assert "waiting for up to 0.01 s" in caplog.text
    assert made(tmp_path, tree(tmp_path)).splits["train"].n == 7


def test_an_image_that_goes_missing_on_the_way_is_told(tmp_path: Path) -> None:
    listing = tree(tmp_path)
    (tmp_path / "bee/3.jpg").unlink()
    with pytest.raises(DataProblem, match=r"E_MISSING: .*bee/3\.jpg was there"):
        made(tmp_path, listing, on_bad_image="skip")


def test_a_login_page_saved_as_the_archive_is_told_when_nothing_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "toy.zip").write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    known = facts({}, (Archive("toy.zip", "https://example.org/toy.zip"),), classes=None)
    with pytest.raises(DataProblem, match=r"E_ARCHIVE: .*toy\.zip: .*a web page, not the archive"):
        prepare("folder", tmp_path, tmp_path / "cache", AS_IT_IS, facts=known)


def test_a_link_to_nowhere_is_a_bad_image(tmp_path: Path) -> None:
    listing = tree(tmp_path)
    path = tmp_path / listing.splits["train"].items[2]
    path.unlink()
    path.symlink_to("/nowhere/0.png")
    with pytest.raises(DataProblem, match=r"E_DECODE: .*a link to /nowhere/0\.png, which does not exist; fetch"):
        made(tmp_path, listing)
    manifest = made(tmp_path, listing, on_bad_image="skip")
    assert manifest.splits["train"].skipped == listing.splits["train"].items[2:3]
    assert manifest.splits["train"].n == 6
