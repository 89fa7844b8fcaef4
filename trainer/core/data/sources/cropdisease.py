"""CropDiseases (PlantVillage). Only the train folder is read, as in the few-shot references."""

from pathlib import Path

from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.layouts import Layout, read_first
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.lists import keep_listed


def read(root: Path, subset: Path | None = None) -> Listing:
    return keep_listed(read_first("cropdisease", root, _LAYOUTS), subset, by_class=True)


def _read(base: Path) -> Listing:
    return tree(base, {"all": ""})


_LAYOUTS = (
    # Every class is named CROP___DISEASE, which distinguishes this folder from any other.
    Layout("Kaggle's archive as unpacked (dataset/train/)", ("*___*/",), _read, ("dataset/train", "train", "")),
)
