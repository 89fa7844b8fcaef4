"""CropDiseases (PlantVillage): the train folder, which alone the few-shot references use."""

from pathlib import Path

from trainer.core.data.sources.label_files import keep_listed, tree
from trainer.core.data.sources.layouts import Layout, read_first
from trainer.core.data.sources.listing import Listing


def read(root: Path, subset: Path | None = None) -> Listing:
    return keep_listed(read_first("cropdisease", root, _LAYOUTS), subset, by_class=True)


def _read(base: Path) -> Listing:
    return tree(base, {"all": ""})


_LAYOUTS = (
    # Every class is called CROP___DISEASE, which tells the folder from any other.
    Layout("Kaggle's archive as unpacked (dataset/train/)", ("*___*/",), _read, ("dataset/train", "train", "")),
)
