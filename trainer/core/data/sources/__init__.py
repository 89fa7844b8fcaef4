"""What reads the trees of each data set: names and labels only, never a pixel.

torchvision's data sets are not used. Those of Flowers-102 and CIFAR refuse files with another MD5 than the authors', which
no partial tree or fixture has; those of FGVC-Aircraft and EuroSAT accept one layout only and answer a bad label with a
KeyError; and none can say which line of which file is wrong. The tests hold our listings against them.
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

ADAPTERS: dict[str, Callable[[Path, Path | None], Listing]] = {
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
"""By data set: the root (its own folder, or the one that its archives were unpacked into) and a subset list to a listing."""
