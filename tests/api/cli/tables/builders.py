"""Result rows, and tables as they are printed."""

import io
from typing import Any

from rich.console import Console, RenderableType

import evaluators


def score(arm: str, generation: int, value: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    """A row of the accuracy on digits, with `more` fields changed, as the API returns it."""
    row: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "generation": generation,
        "value": value,
        "low": None,
        "high": None,
        "n": 896,
    }
    row |= {"evaluator": "accuracy", "dataset": "digits", "metric": "top1"} | more
    return row | evaluators.about(row["evaluator"], row["metric"]).as_json()


def printed(table: RenderableType, width: int = 160) -> list[str]:
    """The lines of a table on a console of this width, without those that are empty or a rule."""
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    lines = file.getvalue().splitlines()
    return [line for line in lines if line.strip() and set(line.strip()) != {"─"}]


def cells(table: RenderableType, width: int = 160) -> list[list[str]]:
    """The words of each printed line of a table."""
    return [line.split() for line in printed(table, width)]
