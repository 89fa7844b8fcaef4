"""E_LABEL of text files: a wrong label, list or table is reported with its file and line."""

from pathlib import Path

import pytest

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import listing, problem
from tests.trainer.core.data.trees import BUILDERS

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


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


@pytest.mark.parametrize(("name", "change", "place", "why"), BAD_TEXT)
def test_a_bad_label_is_told_with_its_line(name: str, change: Edit, place: str, why: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path)
    edit(tmp_path / change[0], *change[1:])
    caught = problem(name, tree.root)
    assert caught.code == "E_LABEL"
    assert place in caught.message
    assert why in caught.message


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
