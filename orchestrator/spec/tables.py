"""The tables a spec asks its report for: what stands in which row and column, and what a paper printed there."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field

from orchestrator.spec.base import SpecModel

Label = Annotated[str, Field(min_length=1, max_length=120)]
Note = Annotated[str, Field(min_length=1, max_length=1000)]
Published = float | tuple[float, float] | None
"""A value as printed, or with half the width of its interval, in the table's unit; None where nothing was printed."""


class Axis(SpecModel):
    """A row or a column, and what it fixes of its cells; a row and a column together name one score of one arm."""

    label: Label
    arm: str | None = Field(None, description="name of an arm")
    generation: int | None = Field(None, ge=0, le=1000, description="by index from 0; not given: the arm's last")
    evaluator: str | None = Field(None, description="name of an evaluator, or training for the accuracy while training")
    dataset: str | None = Field(
        None, description="what the score was measured on; not given: what the arm was trained on"
    )
    metric: str | None = Field(None, description="name of the score, such as top1 or 5shot/acc")


class Cell(NamedTuple):
    """One score of one arm; `generation` None is the last, `dataset` None what the arm was trained on."""

    arm: str | None
    generation: int | None
    evaluator: str | None
    dataset: str | None
    metric: str | None


class ReportTable(SpecModel):
    """A table of the report. Shares are shown in percent, everything else as it is."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="lower-case letters, digits, . _ -")
    caption: Annotated[str, Field(min_length=1, max_length=500)]
    rows: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=200)]
    columns: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=60)]
    compare: Literal["rows", "columns"] = Field(
        "rows", description="what competes for the best: the rows within a column, or the columns within a row"
    )
    published: Annotated[tuple[tuple[Published, ...], ...], Field(max_length=200)] | None = Field(
        None, description="what a paper printed: by row and column a number, [number, half its interval], or null"
    )
    source: Label | None = Field(None, description="where the published values are from")
    notes: Annotated[tuple[Note, ...], Field(max_length=30)] = Field(
        (), description="footnotes: choices the sources leave open"
    )

    def cell(self, row: int, column: int) -> Cell:
        """What stands at `row` and `column`; where both fix a part, they say the same."""
        across, down = self.rows[row], self.columns[column]
        return Cell(*(_either(getattr(across, name), getattr(down, name)) for name in Cell._fields))

    def cells(self) -> Iterator[tuple[int, int, Cell]]:
        """Every place with what stands there, row by row."""
        for row in range(len(self.rows)):
            for column in range(len(self.columns)):
                yield row, column, self.cell(row, column)

    def printed(self, row: int, column: int) -> Published:
        """The published value at a place."""
        return None if self.published is None else self.published[row][column]


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first
