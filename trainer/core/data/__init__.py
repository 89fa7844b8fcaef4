"""The data sets by name. A data spec is small and answers cheap questions; `load()` reads the pixels."""

from typing import get_args

from pydantic import TypeAdapter

from trainer.core.data.base import Dataset, Split
from trainer.core.data.digits import Digits, DigitsHalf, DigitsNoisy, DigitsShifted, DigitsSpec

DataSpec = DigitsSpec
"""Add a data set by adding its spec to this union; each spec says its names in its `name` field."""

AnyData = Digits | DigitsNoisy | DigitsHalf | DigitsShifted
_DATA: TypeAdapter[AnyData] = TypeAdapter(DataSpec)


def names() -> list[str]:
    """Every data set a spec may name."""
    return [name for kind in get_args(AnyData) for name in get_args(kind.model_fields["name"].annotation)]


def named(name: str) -> AnyData:
    """The data set `name` with its default settings. Raises ValueError for a name that is not known."""
    return _DATA.validate_python({"name": name})


__all__ = ["AnyData", "DataSpec", "Dataset", "Split", "named", "names"]
