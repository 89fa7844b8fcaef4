"""EuroSAT in RGB: ten class folders, no split."""

from pathlib import Path

from trainer.core.data.sources.label_files import keep_listed, tree
from trainer.core.data.sources.layouts import Layout, read_first
from trainer.core.data.sources.listing import Listing

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
        "the newer EuroSAT_RGB.zip as unpacked", CLASSES, _read, ("EuroSAT_RGB", "eurosat/EuroSAT_RGB"), renamed=True
    ),
)
