"""E_LABEL and E_DECODE of arrays: a wrong entry of a .mat file or a pickle is reported with its place."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import Build, problem
from tests.trainer.core.data.trees import Tree


def test_a_broken_mat_file_is_told_with_its_size(tmp_path: Path) -> None:
    tree = trees.flowers102(tmp_path)
    (tmp_path / "setid.mat").write_bytes(b"<html>gone</html>")
    caught = problem("flowers102", tree.root)
    assert caught.code == "E_DECODE"
    assert "setid.mat (17 bytes) is no readable MATLAB file" in caught.message


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
        "the same image Images/n02085620-Chihuahua/n02085620_5927.jpg is in train (entry 2 of {}/train_list.mat) "
        "and in test",
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
