"""EuroSAT in RGB, which has ten class folders and no splits."""

from pathlib import Path

from trainer.core.data.sources.class_tree import tree
from trainer.core.data.sources.layouts import Layout, read_first
from trainer.core.data.sources.listing import Listing
from trainer.core.data.sources.lists import keep_listed

CLASSES = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)


def read(root: Path, subset: Path | None = None) -> Listing:
    return keep_listed(read_first("eurosat", root, _LAYOUTS), subset, by_class=True)


def _read(base: Path) -> Listing:
    return tree(base, {"all": ""}, CLASSES)


_LAYOUTS = (
    Layout("EuroSAT.zip as unpacked (2750/)", CLASSES, _read, ("2750", "eurosat/2750", "EuroSAT/2750", "")),
    Layout(
        "the newer EuroSAT_RGB.zip as unpacked",
        CLASSES,
        _read,
        ("EuroSAT_RGB", "eurosat/EuroSAT_RGB"),
        renamed=True,
    ),
)
