"""What the tests of the adapters ask of a tree: its listing, one label of it, or what is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.core.data.trees import Tree
from trainer.core.data.errors import DataProblem
from trainer.core.data.sources import SOURCES
from trainer.core.data.sources.listing import Listing

Build = Callable[[Path], Tree]


def listing(name: str, root: Path, subset: Path | None = None) -> Listing:
    return SOURCES[name](root, subset)


def label_of(found: Listing, split: str, item: str) -> int:
    rows = found.splits[split]
    return rows.labels[rows.items.index(item)]


def problem(name: str, root: Path, subset: Path | None = None) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        listing(name, root, subset)
    return caught.value
