"""What every adapter finds in small trees in the true format, in each of their layouts."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import Build, label_of, listing
from tests.trainer.core.data.trees import BUILDERS

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
