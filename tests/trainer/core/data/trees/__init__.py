"""Small trees in the original format of every data set, with the traps of the real ones.

Each tree is written within milliseconds.
"""

from collections.abc import Callable
from pathlib import Path

from tests.trainer.core.data.trees.cifar import cifar10, cifar100, python2_pickle
from tests.trainer.core.data.trees.few_shot import chestx, cropdisease, eurosat, isic2018
from tests.trainer.core.data.trees.folders import folder, tiny_imagenet
from tests.trainer.core.data.trees.listed import aircraft, cub200, flowers102, mit67
from tests.trainer.core.data.trees.matlab import cells, dog_list, dogs
from tests.trainer.core.data.trees.tree import Tree, image, pixels

BUILDERS: dict[str, Callable[[Path], Tree]] = {
    "tiny-imagenet": tiny_imagenet,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "flowers102": flowers102,
    "cub200": cub200,
    "aircraft": aircraft,
    "mit67": mit67,
    "dogs": dogs,
    "chestx": chestx,
    "isic2018": isic2018,
    "eurosat": eurosat,
    "cropdisease": cropdisease,
    "folder": folder,
}
"""The builder of each data set's tree in the layout that its authors distribute, by the name of the data set."""

__all__ = [
    "BUILDERS",
    "Tree",
    "aircraft",
    "cells",
    "chestx",
    "cifar10",
    "cifar100",
    "cropdisease",
    "cub200",
    "dog_list",
    "dogs",
    "eurosat",
    "flowers102",
    "folder",
    "image",
    "isic2018",
    "mit67",
    "pixels",
    "python2_pickle",
    "tiny_imagenet",
]
