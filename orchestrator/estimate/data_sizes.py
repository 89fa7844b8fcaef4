"""The sizes of a data set: images, classes and pixels. Most are known before the data is prepared."""

from dataclasses import dataclass

from trainer.core.data import AnyData
from trainer.core.data.facts import FACTS
from trainer.core.data.holdout import held_size
from trainer.core.data.paper import FolderTree, PaperData
from trainer.core.data.recipes import named

DIGITS_PX = 16
"""Height and width of the built-in digits, in pixels."""


@dataclass(frozen=True)
class DataSizes:
    """`train` and `test` are numbers of images, `classes` is a number of classes, and `pixels` is height and width."""

    train: int
    test: int
    classes: int
    pixels: int


def data_sizes(data: AnyData) -> DataSizes | None:
    """Returns the sizes of `data` as a network is trained on it, after images were held out.

    Data that is not prepared is assumed to be complete. Returns None if its sizes are unknown.
    """
    if not isinstance(data, PaperData | FolderTree):
        return DataSizes(sum(data.train_sizes()), data.test_size(), len(data.class_names()), DIGITS_PX)
    if data.problem() is None:
        pixels = data.opened().manifest.recipe.size
        return DataSizes(sum(data.train_sizes()), data.test_size(), len(data.class_names()), pixels)
    facts = FACTS[data.name]
    if facts.classes is None:
        return None
    images = facts.splits["train"] if "train" in facts.splits else facts.splits["all"]
    held = facts.classes * held_size(
        images // facts.classes, data.holdout
    )  # assumes that all classes are equally large
    test = held if data.holdout else facts.splits.get("test", 0)
    return DataSizes(images - held, test, facts.classes, named(data.chosen_recipe, data.name).size)
