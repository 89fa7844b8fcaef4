"""Real data sets, if RELEARN_DATA_<NAME> names the folder of one.

Example: RELEARN_DATA_TINY_IMAGENET=/data/tiny pytest ...
"""

import os
from pathlib import Path

import pytest

from trainer.core.data import recipes
from trainer.core.data.cache import verify
from trainer.core.data.facts import FACTS
from trainer.core.data.paper import PaperData
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.sources import SOURCES

NAMES = [name for name in FACTS if name != "folder"]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_a_real_tree_has_the_counts_of_the_table_and_every_image_decodes(name: str, tmp_path: Path) -> None:
    source = os.environ.get(f"RELEARN_DATA_{name.upper().replace('-', '_')}")
    if source is None:
        pytest.skip(f"RELEARN_DATA_{name.upper().replace('-', '_')} names no tree")
    recipe = recipes.named(PaperData.model_validate({"name": name}).chosen_recipe, name)
    manifest = prepare(name, Path(source), tmp_path, recipe)
    assert {split: record.n for split, record in manifest.splits.items()} == dict(FACTS[name].splits)
    assert not manifest.partial
    root = Path(manifest.source.root)
    read = SOURCES[name](root, None).read if manifest.source.reader else None
    assert verify(tmp_path / name / recipe.folder, root, read).rows == 32
