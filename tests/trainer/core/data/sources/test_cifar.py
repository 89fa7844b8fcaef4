"""CIFAR, whose pixels are in pickles that Python 2 wrote."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import listing, problem


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
