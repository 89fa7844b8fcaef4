"""Trees that are not what an adapter expects: E_LAYOUT, E_ARCHIVE and E_MISSING, with what to do about them."""

from pathlib import Path

import pytest

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import listing, problem
from tests.trainer.core.data.trees import BUILDERS
from trainer.core.data.facts import FACTS
from trainer.core.data.sources import SOURCES


@pytest.mark.parametrize("name", SOURCES)
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


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - {"folder"}))
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
