"""The data sets by name. A data spec is small and answers cheap questions; `load()` reads the pixels.

As an evaluator's target a data set is written NAME, or NAME@RECIPE for another size; `folder:TREE` is a tree of the user's own;
NAME%SHARE holds that share of the training images out, in place of the test images.
"""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from trainer.core.data.dataset import Dataset, Split
from trainer.core.data.digits import Digits, DigitsHalf, DigitsNoisy, DigitsShifted
from trainer.core.data.errors import DataProblem
from trainer.core.data.paper import FolderTree, PaperData, fields_of

AnyData = Digits | DigitsNoisy | DigitsHalf | DigitsShifted | PaperData | FolderTree
DataSpec = Annotated[AnyData, Field(discriminator="name")]
"""Add a data set by adding its spec to this union; each spec says its names in its `name` field."""

_DATA: TypeAdapter[AnyData] = TypeAdapter(DataSpec)


def names() -> list[str]:
    """Every data set a spec may name."""
    return [name for kind in get_args(AnyData) for name in get_args(kind.model_fields["name"].annotation)]


def named(text: str) -> AnyData:
    """The data set that an evaluator's target names. Raises ValueError for one that is not known."""
    fields = fields_of(text)
    if fields is None:
        raise ValueError(f"{text!r} is not of the form NAME, NAME@RECIPE or folder:TREE")
    return _DATA.validate_python(fields)


__all__ = ["AnyData", "DataProblem", "DataSpec", "Dataset", "Split", "named", "names"]
