"""How many images, classes and pixels a data set has, also one that is not prepared here and is only known by its facts."""

from dataclasses import dataclass

from trainer.core.data import AnyData
from trainer.core.data.facts import FACTS
from trainer.core.data.holdout import held_size
from trainer.core.data.paper import FolderTree, PaperData
from trainer.core.data.recipes import named

DIGITS_PX = 16


@dataclass(frozen=True)
class Extents:
    """`train` and `test` in images, `pixels` per side."""

    train: int
    test: int
    classes: int
    pixels: int


def extents(data: AnyData) -> Extents | None:
    """Of the data as it is trained on; of what is not prepared, those of the complete data; None where nobody knows."""
    if not isinstance(data, PaperData | FolderTree):
        return Extents(sum(data.train_sizes()), data.test_size(), len(data.class_names()), DIGITS_PX)
    if data.problem() is None:
        pixels = data.opened().manifest.recipe.size
        return Extents(sum(data.train_sizes()), data.test_size(), len(data.class_names()), pixels)
    facts = FACTS[data.name]
    if facts.classes is None:
        return None
    images = facts.splits["train"] if "train" in facts.splits else facts.splits["all"]
    held = facts.classes * held_size(images // facts.classes, data.holdout)  # as if all classes had as many
    test = held if data.holdout else facts.splits.get("test", 0)
    return Extents(images - held, test, facts.classes, named(data.chosen_recipe, data.name).size)
