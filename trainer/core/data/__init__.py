"""The data sets by name.

A data spec answers questions about sizes and classes without reading pixels; `load()` reads the pixels. An evaluator's
target is written as NAME, or as NAME@RECIPE for another image size. `folder:TREE` is a tree of the user's own.
NAME%SHARE holds out that share of the training images, which then replaces the test images.
"""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from trainer.core.data.dataset import Dataset, Split
from trainer.core.data.digits import Digits, DigitsHalf, DigitsNoisy, DigitsShifted
from trainer.core.data.errors import DataProblem
from trainer.core.data.paper import FolderTree, PaperData, fields_of
from trainer.core.mistakes import validated

AnyData = Digits | DigitsNoisy | DigitsHalf | DigitsShifted | PaperData | FolderTree
DataSpec = Annotated[AnyData, Field(discriminator="name")]
"""A data set as a spec writes it.

To add one, add its class to the union `AnyData`; its field `name` lists its names.
"""

_DATA: TypeAdapter[AnyData] = TypeAdapter(DataSpec)


def names() -> list[str]:
    """Returns the names of all data sets that a spec may use."""
    return [name for kind in get_args(AnyData) for name in get_args(kind.model_fields["name"].annotation)]


class UnknownData(ValueError):  # noqa: N818  names what the text is
    """The text names no data set."""


def named(text: str) -> AnyData:
    """Returns the data set that an evaluator's target names.

    Raises UnknownData for an unknown name, and ValueError for a known one with a wrong tree, recipe or share.
    """
    fields = fields_of(text)
    if fields is None or fields["name"] not in names():
        raise UnknownData(f"{text}: not a data set; known are {', '.join(names())} (NAME@RECIPE for another recipe)")
    if fields["name"] == "folder" and "tree" not in fields:
        tree = "TREE is the name that `relearn data prepare folder --tree TREE` gave it"
        raise ValueError(f"{text} needs the name of a tree: write folder:TREE, where {tree}")
    try:
        return validated(_DATA, fields)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from error


__all__ = ["AnyData", "DataProblem", "DataSpec", "Dataset", "Split", "UnknownData", "named", "names"]
