"""Subset lists of the few-shot targets of CD-FSL: what they keep, and what is wrong with them."""

from pathlib import Path

import pytest

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import label_of, listing, problem
from tests.trainer.core.data.trees import BUILDERS
from trainer.core.data.sources import SOURCES

CDFSL = ("chestx", "isic2018", "eurosat", "cropdisease")

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


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - set(CDFSL)))
def test_a_subset_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=f"subset is for chestx, isic2018, eurosat, cropdisease.*{name} got .*s.csv: leave it out"
    ):
        listing(name, tmp_path, tmp_path / "s.csv")
