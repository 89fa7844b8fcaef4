"""Reads the folder tree of each data set: names and labels only, never pixels.

torchvision's data sets are not used. Its Flowers-102 and CIFAR accept only files with the authors' MD5, which no
partial tree or fixture has. Its FGVC-Aircraft and EuroSAT accept one layout only and raise KeyError for a bad label.
None of them names the file and line that is wrong. The tests compare our listings with torchvision's.
"""

from collections.abc import Callable
from pathlib import Path

from trainer.core.data.sources import (
    aircraft,
    chestx,
    cifar,
    cropdisease,
    cub200,
    dogs,
    eurosat,
    flowers102,
    folder,
    isic2018,
    mit67,
    tiny_imagenet,
)
from trainer.core.data.sources.listing import Listing

SOURCES: dict[str, Callable[[Path, Path | None], Listing]] = {
    "tiny-imagenet": tiny_imagenet.read,
    "cifar10": cifar.read10,
    "cifar100": cifar.read100,
    "flowers102": flowers102.read,
    "cub200": cub200.read,
    "aircraft": aircraft.read,
    "mit67": mit67.read,
    "dogs": dogs.read,
    "chestx": chestx.read,
    "isic2018": isic2018.read,
    "eurosat": eurosat.read,
    "cropdisease": cropdisease.read,
    "folder": folder.read,
}
"""The reader of each data set by name.

A reader takes the root of the tree (the data set's own folder or the folder that its archives were unpacked into) and
an optional subset list, and returns a listing. It raises DataProblem.
"""
