"""Every data set from its own format to tensors: each adapter's tree, prepared, opened and verified."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.core.data.builders import facts
from tests.trainer.core.data.trees import BUILDERS, pixels
from trainer.core.data import cache
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources import SOURCES

PX = 20
CENTRE = Recipe(PX, resize="none", crop="center")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_data_set_comes_through_the_cache_with_its_pixels_labels_and_names(name: str, tmp_path: Path) -> None:
    tree = BUILDERS[name](tmp_path / "source")
    known = facts(tree.counts, classes=len(tree.classes))
    one = prepare(name, tree.root, tmp_path / "cache", CENTRE, facts=known)
    assert one.classes == tree.classes
    assert {split: record.n for split, record in one.splits.items()} == dict(tree.counts)
    assert not one.partial

    directory = cache.find(tmp_path / "cache", name, CENTRE)
    assert directory is not None
    opened = cache.open_cache(directory)
    rows = {split: (directory / f"{split}.items.txt").read_text().splitlines() for split in one.splits}
    for (split, item), label in tree.labels.items():
        assert opened.splits[split].labels_N[rows[split].index(item)] == label
    for item in tree.lossless:
        split = next(each for each, items in rows.items() if item in items)
        whole = pixels(item)
        top, left = ((side - PX) // 2 for side in whole.shape[:2])
        found = opened.splits[split].images_NCHW[rows[split].index(item)].permute(1, 2, 0).numpy()
        assert np.array_equal(found, whole[top : top + PX, left : left + PX])

    again = prepare(name, tree.own, tmp_path / "again", CENTRE, facts=known, threads=4)
    assert again.digest() == one.digest() == cache.digest(directory)
    read = SOURCES[name](tree.root, None).read
    assert cache.verify(directory, read=read).rows == min(32, sum(tree.counts.values()))
