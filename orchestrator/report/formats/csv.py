"""The tables of the report as CSV, with one line for each cell."""

import csv
import io

from orchestrator.report.model import Cell, Report

COLUMNS = (
    "table", "row", "column", "experiment", "arm", "generation", "evaluator", "dataset", "metric", "unit",
    "value", "low", "high", "seeds", "best", "published", "published_half", "difference",
    "score_low", "score_high", "score_n",
)  # fmt: skip
"""The columns. The interval from `low` to `high` is over seeds.

Where there is one seed, `score_low`, `score_high` and `score_n` describe the interval of its score.
"""


def lines(report: Report) -> str:
    """The CSV document with all cells of all tables."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in report.tables:
        for row in table.cells:
            for cell in row:
                writer.writerow([_safe(value) for value in (table.name, *_values(cell))])
    return file.getvalue()


def _values(cell: Cell) -> list[object]:
    only = cell.seeds[0] if len(cell.seeds) == 1 else None
    own = (only.low, only.high, only.n) if only else (None, None, None)
    names = [name for name in COLUMNS[1:] if name not in ("score_low", "score_high", "score_n")]
    return [cell.n if name == "seeds" else getattr(cell, name) for name in names] + list(own)


def _safe(value: object) -> object:
    """Puts an apostrophe before text that a spreadsheet would take for a formula, and writes booleans as 0 and 1."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")):
        return f"'{value}"
    return value
