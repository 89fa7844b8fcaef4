"""The tables that a spec requests of its report: their rows, their columns and the values that a paper published."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field

from orchestrator.spec.base import SpecModel

Label = Annotated[str, Field(min_length=1, max_length=120)]
Note = Annotated[str, Field(min_length=1, max_length=1000)]
Published = float | tuple[float, float] | None
"""A published value, or a value and half the width of its interval, in the table's unit; None if there is none."""


class Axis(SpecModel):
    """A row or a column, and the parts that it fixes in its cells. Both together name one score of one arm."""

    label: Label
    arm: str | None = Field(None, description="name of an arm")
    generation: int | None = Field(None, ge=0, le=1000, description="by index from 0; not given: the arm's last")
    evaluator: str | None = Field(None, description="name of an evaluator, or training for the accuracy while training")
    dataset: str | None = Field(
        None, description="the data of the score; not given: the data that the arm was trained on"
    )
    metric: str | None = Field(None, description="name of the score, such as top1 or 5shot/acc")


class Cell(NamedTuple):
    """One score of one arm.

    `generation` None is the last one, and `dataset` None is the data that the arm was trained on.
    """

    arm: str | None
    generation: int | None
    evaluator: str | None
    dataset: str | None
    metric: str | None


class ReportTable(SpecModel):
    """A table of the report. Shares are shown in percent, and all other values in their own unit."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="lower-case letters, digits, . _ -")
    caption: Annotated[str, Field(min_length=1, max_length=500)]
    rows: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=200)]
    columns: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=60)]
    compare: Literal["rows", "columns"] = Field(
        "rows", description="the cells among which the best is marked: the rows of a column, or the columns of a row"
    )
    published: Annotated[tuple[tuple[Published, ...], ...], Field(max_length=200)] | None = Field(
        None,
        description="published values by row and column: a number, [number, half the width of its interval], or null",
    )
    source: Label | None = Field(None, description="the source of the published values")
    notes: Annotated[tuple[Note, ...], Field(max_length=30)] = Field(
        (), description="footnotes, such as choices that the sources leave open"
    )

    def cell(self, row: int, column: int) -> Cell:
        """Returns the cell at `row` and `column`. If both fix a part, the two agree."""
        across, down = self.rows[row], self.columns[column]
        return Cell(*(_either(getattr(across, name), getattr(down, name)) for name in Cell._fields))

    def cells(self) -> Iterator[tuple[int, int, Cell]]:
        """Yields row, column and cell of every place, row by row."""
        for row in range(len(self.rows)):
            for column in range(len(self.columns)):
                yield row, column, self.cell(row, column)

    def printed(self, row: int, column: int) -> Published:
        """Returns the published value at a place, or None."""
        return None if self.published is None else self.published[row][column]


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first
