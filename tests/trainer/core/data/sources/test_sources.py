"""Every adapter on small trees in the true format: what it finds, in each layout, and what it says of each fault."""

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from tests.trainer.core.data import trees
from tests.trainer.core.data.trees import BUILDERS, Tree
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS
from trainer.core.data.sources import ADAPTERS
from trainer.core.data.sources.label_files import lines, reading
from trainer.core.data.sources.listing import Listing

Build = Callable[[Path], Tree]
CDFSL = ("chestx", "isic2018", "eurosat", "cropdisease")

OTHER_LAYOUTS: list[tuple[str, Build, str]] = [
    ("tiny-imagenet", partial(trees.tiny_imagenet, layout="val"), "val rearranged"),
    ("tiny-imagenet", partial(trees.tiny_imagenet, layout="val-images"), "val rearranged"),
    ("tiny-imagenet", partial(trees.tiny_imagenet, layout="train-test"), "LLF"),
    ("cifar10", partial(trees.cifar10, layout="python3"), "cifar-10-python.tar.gz"),
    ("cifar100", partial(trees.cifar100, layout="folders"), "LLF"),
    ("flowers102", partial(trees.flowers102, layout="torchvision"), "102flowers.tgz"),
    ("flowers102", partial(trees.flowers102, layout="ke"), "KE"),
    ("flowers102", partial(trees.flowers102, layout="llf"), "LLF"),
    ("cub200", partial(trees.cub200, layout="folders"), "LLF"),
    ("aircraft", partial(trees.aircraft, layout="ke"), "KE"),
    ("aircraft", partial(trees.aircraft, layout="llf"), "LLF"),
    ("mit67", partial(trees.mit67, layout="nested"), "Kaggle"),
    ("mit67", partial(trees.mit67, layout="folders"), "LLF"),
    ("dogs", partial(trees.dogs, layout="lists"), "lists/"),
    ("dogs", partial(trees.dogs, layout="folders"), "LLF"),
    ("chestx", partial(trees.chestx, layout="kaggle"), "Kaggle"),
    ("chestx", partial(trees.chestx, layout="v2020"), "Data_Entry_2017_v2020.csv"),
    ("isic2018", partial(trees.isic2018, layout="beside"), "beside"),
    ("eurosat", partial(trees.eurosat, layout="EuroSAT_RGB"), "EuroSAT_RGB"),
    ("eurosat", partial(trees.eurosat, layout="eurosat/2750"), "below eurosat/2750/"),
    ("folder", partial(trees.folder, layout="train-val"), "val/"),
    ("folder", partial(trees.folder, layout="train-test"), "test/"),
    ("folder", partial(trees.folder, layout="train-val-test"), "val/"),
]
LAYOUTS = [(name, build, "") for name, build in BUILDERS.items()] + OTHER_LAYOUTS


def listing(name: str, root: Path, subset: Path | None = None) -> Listing:
    return ADAPTERS[name](root, subset)


def label_of(found: Listing, split: str, item: str) -> int:
    rows = found.splits[split]
    return rows.labels[rows.items.index(item)]


def problem(name: str, root: Path, subset: Path | None = None) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        listing(name, root, subset)
    return caught.value


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


@pytest.mark.parametrize(("name", "build", "words"), LAYOUTS)
def test_what_is_found_in_each_layout(name: str, build: Build, words: str, tmp_path: Path) -> None:
    tree = build(tmp_path)
    found = listing(name, tree.root)
    assert words in found.layout
    assert found.classes == tree.classes
    assert len(found.class_ids) == len(tree.classes)
    assert {split: len(rows.items) for split, rows in found.splits.items()} == tree.counts
    assert {(split, item): label_of(found, split, item) for split, item in tree.labels} == tree.labels
    items = [item for rows in found.splits.values() for item in rows.items]
    assert len(set(items)) == len(items)
    assert not {Path(item).name for item in items} & set(tree.absent)
    assert set(tree.lossless) <= set(items)
    assert all(0 <= label < len(tree.classes) for rows in found.splits.values() for label in rows.labels)
    assert found.read is not None or all((found.root / item).is_file() for item in items)
    assert all(path.is_file() for path in found.label_files)


@pytest.mark.parametrize(("name", "build", "words"), LAYOUTS)
def test_its_own_folder_will_do_as_well_as_the_parent_and_another_layout_is_noted(
    name: str, build: Build, words: str, tmp_path: Path
) -> None:
    tree = build(tmp_path)
    parent, own = listing(name, tree.root), listing(name, tree.own)
    assert (own.root, own.splits, own.classes, own.class_ids) == (
        parent.root,
        parent.splits,
        parent.classes,
        parent.class_ids,
    )
    assert listing(name, tree.root) == parent
    renamed = any(note.startswith("W_RENAMED: not the authors' own tree") for note in parent.notes)
    assert renamed == (words in {"val rearranged", "LLF", "KE", "Kaggle", "EuroSAT_RGB"})


@pytest.mark.parametrize("name", sorted(BUILDERS.keys() - {"cifar10", "cifar100"}))
def test_the_trees_hold_what_they_say(name: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    root = listing(name, tree.root).root
    for item in tree.lossless:
        with Image.open(root / item) as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), trees.pixels(item))
    for item, mode in tree.modes.items():
        with Image.open(root / item) as image:
            assert image.mode == mode


# The order of rows and classes


def test_rows_are_in_the_order_of_the_label_file(tmp_path: Path) -> None:
    for name in ("cub200", "mit67", "flowers102", "isic2018", "chestx", "aircraft", "dogs"):
        BUILDERS[name](tmp_path / name)
    first = {
        name: listing(name, tmp_path / name).splits for name in ("cub200", "mit67", "flowers102", "isic2018", "chestx")
    }
    assert [Path(item).name for item in first["cub200"]["train"].items] == [
        "Red_Winged_Blackbird_0046_18.jpg",
        "Black_Footed_Albatross_0002_55.jpg",
        "Laysan_Albatross_0070_788.jpg",
    ]
    assert first["mit67"]["test"].items[0] == "Images/bar/bar_0421.jpg"
    assert first["flowers102"]["train"].items == ("jpg/image_00008.jpg", "jpg/image_00003.jpg")
    assert first["isic2018"]["all"].labels == (0, 1, 1, 5, 6, 2)
    assert first["chestx"]["all"].labels == (1, 3, 0, 6, 4, 5, 2, 3)
    assert listing("aircraft", tmp_path / "aircraft").splits["train"].labels == (1, 0, 2, 3)
    assert listing("dogs", tmp_path / "dogs").splits["train"].labels == (2, 0, 1, 3)


def test_rows_without_a_label_file_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    items = listing("eurosat", trees.eurosat(tmp_path).root).splits["all"].items
    assert items == tuple(sorted(items))
    assert items[:3] == ("AnnualCrop/AnnualCrop_1.jpg", "AnnualCrop/AnnualCrop_10.jpg", "AnnualCrop/AnnualCrop_2.jpg")


def test_class_ids_are_the_sources_own(tmp_path: Path) -> None:
    assert listing("tiny-imagenet", trees.tiny_imagenet(tmp_path / "t").root).class_ids == (
        "n02124075",
        "n04067472",
        "n01443537",
    )
    assert listing("cub200", trees.cub200(tmp_path / "c").root).class_ids == ("1", "2", "10")
    assert listing("flowers102", trees.flowers102(tmp_path / "f").root).class_ids[::101] == ("1", "102")
    assert listing("dogs", trees.dogs(tmp_path / "d").root).class_ids[0] == "n02085620-Chihuahua"


def test_without_wnids_the_classes_are_sorted_and_that_is_noted(tmp_path: Path) -> None:
    tree = trees.tiny_imagenet(tmp_path)
    (tree.own / "wnids.txt").unlink()
    (tree.own / "words.txt").unlink()
    found = listing("tiny-imagenet", tree.root)
    assert found.classes == found.class_ids == ("n01443537", "n02124075", "n04067472")
    assert "no wnids.txt, so the classes are in sorted order (LLF's), not in SEAL's" in found.notes[0]
    assert label_of(found, "test", "val/images/val_1.JPEG") == 0


def test_a_net_trained_on_tiny_imagenet_has_seen_some_dogs(tmp_path: Path) -> None:
    (note,) = listing("dogs", trees.dogs(tmp_path).root).notes
    assert note.startswith("W_LEAKAGE: 2 classes are also in Tiny-ImageNet")
    assert note.endswith("n02099601-golden_retriever, n02113799-poodle")


def test_a_split_of_a_folder_may_lack_a_class_which_is_noted(tmp_path: Path) -> None:
    tree = trees.folder(tmp_path, "train-test")
    for path in (tmp_path / "test" / "ape").rglob("*.*"):
        path.unlink() if path.is_file() else None
    found = listing("folder", tree.root)
    assert found.splits["test"].labels == (1, 1)
    assert found.notes == ("W_CLASSES: test holds no image of ape",)


def test_macs_and_notebooks_leave_no_classes_behind(tmp_path: Path) -> None:
    tree = trees.folder(tmp_path)
    trees.image(tmp_path / "__MACOSX" / "zebra" / "1.png", "PNG")
    trees.image(tmp_path / "zebra" / "._1.png", "PNG")
    assert listing("folder", tree.root).classes == tree.classes
    assert len(listing("folder", tree.root).splits["all"].items) == 4


# torchvision as another channel


def test_torchvision_finds_the_same_rows(tmp_path: Path) -> None:
    from torchvision import datasets

    def rows(found: Listing, split: str) -> set[tuple[str, int]]:
        both = found.splits[split]
        return {(str(found.root / item), label) for item, label in zip(both.items, both.labels, strict=True)}

    tree = trees.eurosat(tmp_path / "e", "eurosat/2750")
    assert rows(listing("eurosat", tree.root), "all") == set(datasets.EuroSAT(tree.root).samples)
    tree = trees.cropdisease(tmp_path / "c")
    assert rows(listing("cropdisease", tree.root), "all") == set(
        datasets.ImageFolder(tmp_path / "c/dataset/train").samples
    )
    tree = trees.aircraft(tmp_path / "a")
    for split in ("train", "val", "test"):
        theirs = datasets.FGVCAircraft(tree.root, split=split)
        found = listing("aircraft", tree.root)
        ours = [
            (str(found.root / item), label) for item, label in zip(*vars(found.splits[split]).values(), strict=True)
        ]
        assert ours == list(zip(theirs._image_files, theirs._labels, strict=True))
        assert list(found.classes) == theirs.classes


# CIFAR, whose pixels are in its pickles


@pytest.mark.parametrize(("name", "layout"), [("cifar10", "python2"), ("cifar10", "python3"), ("cifar100", "python2")])
def test_cifars_planes_become_images(name: str, layout: str, tmp_path: Path) -> None:
    tree = {"cifar10": trees.cifar10, "cifar100": trees.cifar100}[name](tmp_path, layout)
    read = listing(name, tree.root).read
    assert read is not None
    for item in tree.lossless:
        assert read(item).dtype == np.uint8
        assert np.array_equal(read(item), trees.pixels(item))
        assert read(item).flags.c_contiguous


def test_the_fixture_is_what_python_2_wrote(tmp_path: Path) -> None:
    content = (trees.cifar100(tmp_path).own / "train").read_bytes()
    assert content.startswith(b"\x80\x02")
    assert b"numpy.core.multiarray" in content
    assert b"_codecs" not in content
    assert set(pickle.loads(content, encoding="latin1")) == {
        "filenames",
        "batch_label",
        "fine_labels",
        "coarse_labels",
        "data",
    }


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    tree = trees.cifar100(tmp_path)
    (tree.own / "test").write_bytes(pickle.dumps({"data": Trap(tmp_path / "ran"), "fine_labels": []}))
    caught = problem("cifar100", tree.root)
    assert caught.code == "E_DECODE"
    assert "it asks for pathlib.Path" in caught.message
    assert not (tmp_path / "ran").exists()


def test_a_cut_pickle_is_told_with_its_size(tmp_path: Path) -> None:
    tree = trees.cifar10(tmp_path)
    path = tree.own / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-10])
    caught = problem("cifar10", tree.root)
    assert caught.code == "E_DECODE"
    assert f"{path} ({path.stat().st_size:,} bytes)" in caught.message


def test_a_broken_mat_file_is_told_with_its_size(tmp_path: Path) -> None:
    tree = trees.flowers102(tmp_path)
    (tmp_path / "setid.mat").write_bytes(b"<html>gone</html>")
    caught = problem("flowers102", tree.root)
    assert caught.code == "E_DECODE"
    assert "setid.mat (17 bytes) is no readable MATLAB file" in caught.message


# E_LAYOUT and E_ARCHIVE


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_unknown_tree_is_told_what_was_tried_and_what_to_fetch(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").touch()
    caught = problem(name, tmp_path)
    assert caught.code == "E_LAYOUT"
    assert "There: holiday.txt." in caught.message
    assert caught.message.count(" is missing") >= 2
    facts = FACTS[name]
    for archive in facts.archives:
        assert archive.name in caught.message
        assert archive.url in caught.message
    if facts.archives:
        assert ("a login is needed" if facts.login else "no login is needed") in caught.message


def test_the_first_missing_path_of_each_layout_is_named(tmp_path: Path) -> None:
    tree = trees.cub200(tmp_path)
    (tree.own / "train_test_split.txt").unlink()
    message = problem("cub200", tmp_path).message
    assert (
        f"CUB_200_2011.tgz as unpacked: {tmp_path}/images.txt is missing, {tree.own}/train_test_split.txt is missing"
        in message
    )
    assert "There: CUB_200_2011, attributes.txt." in message


def test_only_the_first_names_of_a_full_folder_are_shown(tmp_path: Path) -> None:
    for number in range(14):
        (tmp_path / f"{number:02}").touch()
    assert "There: 00, 01, 02, 03, 04, 05, 06, 07, 08, 09 and 4 more." in problem("eurosat", tmp_path).message


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    caught = problem("aircraft", tmp_path / "nowhere")
    assert caught.code == "E_LAYOUT"
    assert f"{tmp_path}/nowhere does not exist" in caught.message
    assert "fgvc-aircraft-2013b.tar.gz (2,770,575,360 bytes)" in caught.message


@pytest.mark.parametrize("name", sorted(ADAPTERS.keys() - {"folder"}))
def test_an_archive_that_waits_is_named(name: str, tmp_path: Path) -> None:
    archive = next(each for each in FACTS[name].archives if each.packed)
    (tmp_path / archive.name).write_bytes(b"12345")
    caught = problem(name, tmp_path)
    assert caught.code == "E_ARCHIVE"
    assert f"{tmp_path / archive.name} (5 bytes" in caught.message
    assert archive.bytes is None or f"expected {archive.bytes:,}" in caught.message
    assert f"`relearn data prepare {name}`" in caught.message


def test_an_archive_given_as_the_root_is_named(tmp_path: Path) -> None:
    path = tmp_path / "EuroSAT.zip"
    path.touch()
    caught = problem("eurosat", path)
    assert caught.code == "E_ARCHIVE"
    assert f"{path} (0 bytes, expected 94,280,567)" in caught.message


def test_an_archive_beside_its_unpacked_tree_is_no_fault(tmp_path: Path) -> None:
    tree = trees.eurosat(tmp_path)
    (tmp_path / "EuroSAT.zip").touch()
    assert len(listing("eurosat", tree.root).splits["all"].items) == 30


def test_a_train_folder_alone_is_no_data_set(tmp_path: Path) -> None:
    trees.folder(tmp_path, "train")
    message = problem("folder", tmp_path).message
    assert f"{tmp_path}/val/* is missing" in message
    assert f"class folders without a split: {tmp_path}/train is there" in message


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images.txt"
    with (
        pytest.raises(
            DataProblem, match=r"images\.txt may not be read: give the user that runs this read access"
        ) as caught,
        reading(path),
    ):
        raise PermissionError(
            13, "Permission denied", str(path)
        )  # raised by hand: a container's root may read everything
    assert caught.value.code == "E_PERM"


# E_MISSING


MISSING: list[tuple[str, str, str]] = [
    ("tiny-imagenet", "tiny-imagenet-200/val/images/val_3.JPEG", "val_annotations.txt"),
    ("flowers102", "jpg/image_00004.jpg", "setid.mat"),
    ("cub200", "CUB_200_2011/images/002.Laysan_Albatross/Laysan_Albatross_0001_545.jpg", "images.txt"),
    ("aircraft", "fgvc-aircraft-2013b/data/images/1236289.jpg", "images_variant_val.txt"),
    ("mit67", "Images/bar/joe's bar & grill.jpg", "TrainImages.txt"),
    ("dogs", "Images/n02085620-Chihuahua/n02085620_10074.jpg", "test_list.mat"),
    ("chestx", "images/00000002_001.png", "Data_Entry_2017.csv"),
    ("isic2018", "ISIC2018_Task3_Training_Input/ISIC_0024318.jpg", "ISIC2018_Task3_Training_GroundTruth.csv"),
]


@pytest.mark.parametrize(("name", "file", "label_file"), MISSING)
def test_an_absent_image_is_named_with_its_label_file(name: str, file: str, label_file: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    (tmp_path / file).unlink()
    caught = problem(name, tree.root)
    assert caught.code == "E_MISSING"
    assert caught.message.startswith("1 of ")
    assert label_file in caught.message
    assert Path(file).name in caught.message
    assert "Only the case differs" not in caught.message


@pytest.mark.parametrize(("name", "file", "label_file"), MISSING)
def test_the_same_name_in_another_case_is_pointed_out(name: str, file: str, label_file: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    path = tmp_path / file
    path.rename(path.with_name(path.name.swapcase()))
    message = problem(name, tree.root).message
    assert "Only the case differs: " in message
    assert f"{path.name.swapcase()} for " in message


def test_folders_of_another_case_are_pointed_out_too(tmp_path: Path) -> None:
    tree = trees.mit67(tmp_path)
    (tmp_path / "Images" / "bar").rename(tmp_path / "Images" / "Bar")
    message = problem("mit67", tree.root).message
    assert message.startswith("2 of 6 images")
    assert "Images/Bar/bar_0421.jpg for Images/bar/bar_0421.jpg" in message


def test_an_image_absent_from_all_of_kaggles_folders(tmp_path: Path) -> None:
    tree = trees.chestx(tmp_path, "kaggle")
    (tmp_path / "images_002/images/00000002_002.png").unlink()
    (tmp_path / "images_001/images/00000001_000.png").rename(tmp_path / "images_001/images/00000001_000.PNG")
    message = problem("chestx", tree.root).message
    assert "images_*/images/00000002_002.png" not in message  # a row with another disease
    assert "images_001/images/00000001_000.PNG for images_001/images/00000001_000.png" in message


def test_only_the_first_ten_are_listed(tmp_path: Path) -> None:
    trees.mit67(tmp_path)
    (tmp_path / "TestImages.txt").write_text("\n".join(f"bar/gone_{number:02}.jpg" for number in range(13)))
    message = problem("mit67", tmp_path).message
    assert message.startswith("13 of 16 images")
    assert "gone_09.jpg and 3 more" in message
    assert "gone_10.jpg" not in message


@pytest.mark.parametrize(
    ("name", "folder"),
    [("eurosat", "2750/Forest"), ("tiny-imagenet", "tiny-imagenet-200/train/n04067472/images"), ("folder", "ape")],
)
def test_a_class_folder_without_images(name: str, folder: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    for path in (tmp_path / folder).rglob("*"):
        path.unlink() if path.is_file() else None
    caught = problem(name, tree.root)
    assert caught.code == "E_MISSING"
    assert folder.removesuffix("/images") in caught.message
    assert "hold no image" in caught.message


def test_a_folder_of_nothing_but_hidden_folders(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert problem("folder", tmp_path).code == "E_MISSING"


# E_LABEL

Edit = tuple[str, str, str]
TINY, CUB, PLANES = "tiny-imagenet-200/", "CUB_200_2011/", "fgvc-aircraft-2013b/data/"
ISIC = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
CHEST = "Data_Entry_2017.csv"

BAD_TEXT: list[tuple[str, Edit, str, str]] = [
    (
        "tiny-imagenet",
        (TINY + "val/val_annotations.txt", "val_1.JPEG\tn01443537", "val_1.JPEG\tn00000001"),
        "line 2 of ",
        "unknown wnid 'n00000001' in column 2. It reads 'val_1.JPEG\\tn00000001\\t0\\t32\\t44\\t62'",
    ),
    (
        "tiny-imagenet",
        (TINY + "val/val_annotations.txt", "val_1.JPEG\t", "val_0.JPEG\t"),
        "line 2 of ",
        "is named twice",
    ),
    (
        "tiny-imagenet",
        (TINY + "val/val_annotations.txt", "val_2.JPEG\t", "val_2.JPEG "),
        "line 3 of ",
        "unknown wnid '0'",
    ),
    ("tiny-imagenet", (TINY + "wnids.txt", "n04067472", "n4067472"), "line 2 of ", "is no wnid (n and eight digits)"),
    ("tiny-imagenet", (TINY + "wnids.txt", "n04067472", "n02124075"), "line 2 of ", "'n02124075' is there twice"),
    ("cub200", (CUB + "image_class_labels.txt", "3 1\n", "3 201\n"), "line 4 of ", "class id 201 is out of range"),
    (
        "cub200",
        (CUB + "image_class_labels.txt", "3 1\n", ""),
        "line 3 of ",
        "image id 3 is not in image_class_labels.txt",
    ),
    (
        "cub200",
        (CUB + "train_test_split.txt", "11 1\n", "11 2\n"),
        "line 4 of ",
        "'2' is neither 1 (train) nor 0 (test)",
    ),
    (
        "cub200",
        (CUB + "train_test_split.txt", "11 1\n", "11 1\n99 1\n"),
        "line 5 of ",
        "image id 99 is not in images.txt",
    ),
    ("cub200", (CUB + "images.txt", "11 ", "3 "), "line 4 of ", "id 3 is there twice, first in line 3 of"),
    ("cub200", (CUB + "images.txt", "20 ", "x20 "), "line 5 of ", "the id 'x20' is no whole number"),
    ("cub200", (CUB + "classes.txt", "2 002.Laysan_Albatross", "2"), "line 3 of ", "an id and a value are needed"),
    (
        "cub200",
        (CUB + "images.txt", "Black_Footed_Albatross_0009_34", "Black_Footed_Albatross_0002_55"),
        "line 3 of ",
        "Black_Footed_Albatross_0002_55.jpg is in test (line 2 of ",
    ),
    ("aircraft", (PLANES + "images_variant_val.txt", "F/A-18", "F-18"), "line 2 of ", "unknown variant 'F-18'"),
    (
        "aircraft",
        (PLANES + "images_variant_test.txt", "1514522", "1025794"),
        "line 2 of ",
        "the same image images/1025794.jpg is in train (line 1 of ",
    ),
    ("aircraft", (PLANES + "variants.txt", "A380", "707-320"), "line 4 of ", "variant '707-320' is there twice"),
    ("aircraft", (PLANES + "images_variant_train.txt", "2170315 ", "217031S "), "line 3 of ", "the image id '217031S'"),
    ("mit67", ("TrainImages.txt", "gameroom/bt", "gameroom_bt"), "line 1 of ", "a line is CLASS/FILE"),
    (
        "mit67",
        ("TestImages.txt", "bar/bar_0421.jpg", "bar/joe's bar & grill.jpg"),
        "line 1 of ",
        "is in train (line 3 of ",
    ),
    (
        "mit67",
        ("TestImages.txt", "bar/bar_0421.jpg", "../secret.jpg"),
        "line 1 of ",
        "Images/../secret.jpg lies outside",
    ),
    ("chestx", (CHEST, "00000003_001.png", "00000001_000.png"), "line 9 of ", "is there twice, first in line 2 of"),
    (
        "chestx",
        (CHEST, "Image Index,", "image,"),
        "line 1 of ",
        "the header must start with Image Index,Finding Labels",
    ),
    (
        "chestx",
        (CHEST, "00000001_002.png,", "00000001_002.png\n"),
        "line 4 of ",
        "an image and its findings are needed",
    ),
    ("isic2018", (ISIC, "ISIC_0024310,1.0,0.0", "ISIC_0024310,1.0,1.0"), "line 2 of ", "one of 7 columns must be 1"),
    (
        "isic2018",
        (ISIC, "ISIC_0024310,1.0,0.0", "ISIC_0024310,0.0,0.0"),
        "line 2 of ",
        "It reads 'ISIC_0024310,0.0,0.0,",
    ),
    ("isic2018", (ISIC, "ISIC_0024310,1.0,0.0", "ISIC_0024310,0.5,0.5"), "line 2 of ", "one of 7 columns must be 1"),
    ("isic2018", (ISIC, "ISIC_0024310,1.0,", "ISIC_0024310,1.0,0.0,"), "line 2 of ", "one of 7 columns must be 1"),
    ("isic2018", (ISIC, "ISIC_0024310,1.0", "ISIC_0024310,yes"), "line 2 of ", "must be a number"),
    (
        "isic2018",
        (ISIC, "ISIC_0024307", "ISIC_0024306"),
        "line 4 of ",
        "ISIC_0024306.jpg is named twice, first in line 3 of",
    ),
    ("isic2018", (ISIC, "image,MEL", "MEL"), "line 1 of ", "the header must be image and the names of the classes"),
]


@pytest.mark.parametrize(("name", "change", "place", "why"), BAD_TEXT)
def test_a_bad_label_is_told_with_its_line(name: str, change: Edit, place: str, why: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    edit(tmp_path / change[0], *change[1:])
    caught = problem(name, tree.root)
    assert caught.code == "E_LABEL"
    assert place in caught.message
    assert why in caught.message


def flowers_with(labels: list[int], **ids: list[int]) -> Build:
    def build(path: Path) -> Tree:
        tree = trees.flowers102(path)
        scipy.io.savemat(path / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
        all_ids = {"trnid": [8, 3], "valid": [1, 2], "tstid": [7, 4, 5, 6], **ids}
        scipy.io.savemat(path / "setid.mat", {key: np.array([each], np.uint16) for key, each in all_ids.items()})
        return tree

    return build


def dogs_with(*rows: tuple[str, int]) -> Build:
    def build(path: Path) -> Tree:
        tree = trees.dogs(path)
        trees.dog_list(path / "test_list.mat", list(rows))
        return tree

    return build


def cifar_with(**changes: Any) -> Build:
    def build(path: Path) -> Tree:
        tree = trees.cifar100(path)
        batch = pickle.loads((tree.own / "test").read_bytes(), encoding="latin1")
        trees.python2_pickle(tree.own / "test", {**batch, **changes})
        return tree

    return build


POODLE, CHIHUAHUA = "n02113799-poodle/n02113799_489.jpg", "n02085620-Chihuahua/n02085620_10074.jpg"
GOOD = [77, 1, 102, 1, 77, 2, 102, 1]

BAD_ARRAYS: list[tuple[str, Build, str]] = [
    (
        "flowers102",
        flowers_with([77, 1, 103, *GOOD[3:]]),
        "image 3 of {}/imagelabels.mat: a class is a number from 1 to 102. It reads '103'",
    ),
    ("flowers102", flowers_with([0, *GOOD[1:]]), "image 1 of {}/imagelabels.mat: a class is a number from 1 to 102"),
    ("flowers102", flowers_with(GOOD, valid=[1, 9]), "valid entry 2 of {}/setid.mat: an image is a number from 1 to 8"),
    (
        "flowers102",
        flowers_with(GOOD, tstid=[7, 4, 8]),
        "tstid entry 3 of {}/setid.mat: the same image jpg/image_00008.jpg is in train",
    ),
    ("dogs", dogs_with((POODLE, 121)), "entry 1 of {}/test_list.mat: a label is a number from 1 to 120. It reads"),
    ("dogs", dogs_with((POODLE, 120), (CHIHUAHUA, 2), (POODLE, 120)), "entry 3 of {}/test_list.mat: Images/n02113799"),
    (
        "dogs",
        dogs_with((POODLE, 1)),
        "entry 1 of {}/test_list.mat: label 1 is n02085620-Chihuahua in entry 2 of {}/train_list.mat",
    ),
    (
        "dogs",
        dogs_with(("n02085620-Chihuahua/n02085620_5927.jpg", 1)),
        "the same image Images/n02085620-Chihuahua/n02085620_5927.jpg is in train (entry 2 of {}/train_list.mat) and in test",
    ),
    (
        "cifar100",
        cifar_with(fine_labels=[1, 0, 4, 0]),
        "fine_labels 3 of {}/cifar-100-python/test: a label is a number from 0 to 3",
    ),
    (
        "cifar100",
        cifar_with(fine_labels=[1, 0]),
        "data must be uint8 of 2 x 3072 (one row per label), not uint8 of 4 x 3072",
    ),
    ("cifar100", cifar_with(data=np.zeros((4, 3072))), "not float64 of 4 x 3072"),
    (
        "cifar100",
        cifar_with(fine_labels=None),
        "cifar-100-python/test holds no list 'fine_labels' but filenames, batch_label",
    ),
]


@pytest.mark.parametrize(("name", "build", "words"), BAD_ARRAYS)
def test_a_bad_label_in_an_array_is_told_with_its_place(name: str, build: Build, words: str, tmp_path: Path) -> None:
    caught = problem(name, build(tmp_path).root)
    assert caught.code == "E_LABEL"
    assert words.replace("{}", str(tmp_path)) in caught.message


def test_an_array_that_is_not_there(tmp_path: Path) -> None:
    tree = trees.dogs(tmp_path)
    scipy.io.savemat(tmp_path / "train_list.mat", {"file_list": trees.cells(["a/b.jpg"])})
    assert "train_list.mat holds no 'labels' but file_list" in problem("dogs", tree.root).message


def test_files_and_labels_of_different_number(tmp_path: Path) -> None:
    tree = trees.dogs(tmp_path)
    scipy.io.savemat(
        tmp_path / "train_list.mat", {"file_list": trees.cells(["a/b.jpg"]), "labels": np.array([[1.0], [2.0]])}
    )
    assert "1 files have 2 labels" in problem("dogs", tree.root).message


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("eurosat", "2750/Desert/Desert_1.jpg"),
        ("tiny-imagenet", "tiny-imagenet-200/train/n99999999/images/n99999999_0.JPEG"),
    ],
)
def test_a_folder_of_an_unknown_class(name: str, file: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    trees.image(tmp_path / file)
    caught = problem(name, tree.root)
    assert caught.code == "E_LABEL"
    assert "is no known class" in caught.message
    assert Path(file).name in caught.message


def test_a_class_that_only_the_test_split_has(tmp_path: Path) -> None:
    tree = trees.folder(tmp_path, "train-test")
    trees.image(tmp_path / "test" / "yak" / "1.png", "PNG")
    caught = problem("folder", tree.root)
    assert caught.code == "E_LABEL"
    assert f"{tmp_path}/test/yak is no known class (ape, zebra, ...)" in caught.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "file_name,label",
            "file,label",
            "line 1 of {}/lists/val.csv: the header must be file_name,label, not 'file,label'",
        ),
        (
            "1340192.jpg,Gulfstream IV",
            "1340192.jpg,Concorde",
            "line 2 of {}/lists/val.csv: the label 'Concorde' is not in the training",
        ),
        ("1340192.jpg,Gulfstream IV", "1340192.jpg", "line 2 of {}/lists/val.csv: a file name and a label are needed"),
        (
            "1340192.jpg",
            "1025794.jpg",
            "the same image images/1025794.jpg is in train (line 2 of {}/lists/trn.csv) and in val",
        ),
    ],
)
def test_a_bad_row_in_kes_lists(old: str, new: str, words: str, tmp_path: Path) -> None:
    tree = trees.aircraft(tmp_path, "ke")
    edit(tmp_path / "lists" / "val.csv", old, new)
    caught = problem("aircraft", tree.root)
    assert caught.code == "E_LABEL"
    assert words.replace("{}", str(tmp_path)) in caught.message


@pytest.mark.parametrize(("name", "file"), [("chestx", CHEST), ("isic2018", ISIC)])
def test_an_empty_table(name: str, file: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    (tmp_path / file).write_text("")
    caught = problem(name, tree.root)
    assert caught.code == "E_LABEL"
    assert "is empty" in caught.message


def test_a_table_saved_with_a_byte_order_mark_and_windows_ends_of_lines(tmp_path: Path) -> None:
    tree = trees.isic2018(tmp_path)
    path = tmp_path / ISIC
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert listing("isic2018", tree.root).splits["all"].labels == (0, 1, 1, 5, 6, 2)


def test_only_a_newline_ends_a_line_and_bytes_come_out_as_the_folder_has_them(tmp_path: Path) -> None:
    content = b"bar/a\xc2\x85b.jpg\n\nbar/caf\xe9.jpg"
    (tmp_path / "list.txt").write_bytes(content)
    found = [(line.number, line.text) for line in lines(tmp_path / "list.txt")]
    assert found == [(1, "bar/a\x85b.jpg"), (3, os.fsdecode(b"bar/caf\xe9.jpg"))]


# Subsets


SUBSETS: list[tuple[str, list[str], list[str]]] = [
    ("chestx", ["00000003_001.png", "00000001_000.png"], ["images/00000001_000.png", "images/00000003_001.png"]),
    (
        "isic2018",
        ["ISIC_0024307", "ISIC_0024310"],
        ["ISIC2018_Task3_Training_Input/ISIC_0024310.jpg", "ISIC2018_Task3_Training_Input/ISIC_0024307.jpg"],
    ),
    (
        "eurosat",
        ["River/River_2.jpg", "/data/EuroSAT/2750/Forest/Forest_10.jpg"],
        ["Forest/Forest_10.jpg", "River/River_2.jpg"],
    ),
    (
        "cropdisease",
        ['"Pepper,_bell___healthy/d1___JR_HL 7713.JPG"', "Tomato___Late_blight/e1___GHLB2 Leaf 87.1.JPG"],
        ["Pepper,_bell___healthy/d1___JR_HL 7713.JPG", "Tomato___Late_blight/e1___GHLB2 Leaf 87.1.JPG"],
    ),
]


@pytest.mark.parametrize(("name", "entries", "kept"), SUBSETS)
def test_a_subset_keeps_only_what_is_listed(name: str, entries: list[str], kept: list[str], tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path / "data")
    subset = tmp_path / f"{name}_labeled_80.csv"
    subset.write_text("\n".join(["img_path", *entries]) + "\n")
    whole, found = listing(name, tree.root), listing(name, tree.root, subset)
    assert list(found.splits["all"].items) == kept
    assert found.splits["all"].labels == tuple(label_of(whole, "all", item) for item in kept)
    assert found.classes == whole.classes
    assert found.label_files == (*whole.label_files, subset)
    assert found.notes[-1].startswith(f"W_SUBSET: 2 of {len(whole.splits['all'].items)} images are kept")


def test_a_subset_may_have_other_columns(tmp_path: Path) -> None:
    tree = trees.isic2018(tmp_path / "data")
    (tmp_path / "s.csv").write_text("label,img_path\n0,ISIC_0024310.jpg\n")
    assert listing("isic2018", tree.root, tmp_path / "s.csv").splits["all"].labels == (0,)


BAD_SUBSETS: list[tuple[str, str, str, str]] = [
    (
        "isic2018",
        "img_path\nISIC_0024306\nISIC_9\n",
        "E_MISSING",
        "1 of 2 images that {}/s.csv names are not among the 6",
    ),
    ("isic2018", "img_path\nisic_0024306\n", "E_MISSING", "Only the case differs: ISIC_0024306 for isic_0024306"),
    ("eurosat", "img_path\nForest/River_1.jpg\n", "E_MISSING", "Forest/River_1.jpg"),
    ("chestx", "img_path\n00000001_001.png\n", "E_MISSING", "00000001_001.png"),
    ("isic2018", "image\nISIC_0024306\n", "E_LABEL", "line 1 of {}/s.csv: the header must hold img_path, not 'image'"),
    (
        "isic2018",
        "img_path\nISIC_0024306\nISIC_0024306.jpg\n",
        "E_LABEL",
        "line 3 of {}/s.csv: ISIC2018_Task3_Training_Input/",
    ),
    ("isic2018", "img_path\n", "E_LABEL", "{}/s.csv names no image"),
    ("isic2018", "label,img_path\n1\n", "E_LABEL", "line 2 of {}/s.csv: there is no img_path"),
]


@pytest.mark.parametrize(("name", "content", "code", "words"), BAD_SUBSETS)
def test_a_bad_subset(name: str, content: str, code: str, words: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path / "data")
    (tmp_path / "s.csv").write_text(content)
    caught = problem(name, tree.root, tmp_path / "s.csv")
    assert caught.code == code
    assert words.replace("{}", str(tmp_path)) in caught.message


def test_a_subset_that_is_not_there(tmp_path: Path) -> None:
    caught = problem("isic2018", trees.isic2018(tmp_path / "data").root, tmp_path / "s.csv")
    assert caught.code == "E_MISSING"
    assert f"{tmp_path}/s.csv is no file that can be read" in caught.message


def test_a_file_name_that_two_classes_have_is_ambiguous_without_its_class(tmp_path: Path) -> None:
    tree = trees.cropdisease(tmp_path / "data")
    trees.image(tmp_path / "data/dataset/train/Corn_(maize)___healthy/b2.jpeg")
    (tmp_path / "s.csv").write_text("img_path\nb2.jpeg\n")
    caught = problem("cropdisease", tree.root, tmp_path / "s.csv")
    assert caught.code == "E_LABEL"
    assert "b2.jpeg may be any of Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot/b2.jpeg, " in caught.message


@pytest.mark.parametrize("name", sorted(ADAPTERS.keys() - set(CDFSL)))
def test_a_subset_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=f"subset is for chestx, isic2018, eurosat, cropdisease.*{name} got .*s.csv: leave it out"
    ):
        listing(name, tmp_path, tmp_path / "s.csv")
