"""The result rows of an experiment as a table of results reads them: by score, arm and generation."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
ACCURACY = ("accuracy", "top1")
TRAINING = ("training", "test_accuracy/last")
"""The test accuracy after the last epoch of a generation, measured while training on the images of ACCURACY."""
STANDS_IN = "where it was not evaluated, the test accuracy of the generation's last epoch"


@dataclass
class Score:
    """One score under one protocol: what is declared about it, and its rows by arm and generation."""

    known: Row
    settings: str
    """The settings of the evaluator that distinguish the score from others of its name; empty without others."""
    rows: dict[str, dict[int, list[Row]]] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The evaluator and the data set."""
        return " ".join(filter(None, (self.known["evaluator"], self.known["dataset"], self.settings)))

    @property
    def label(self) -> str:
        """The name of the score with its unit."""
        return f"{self.known['metric']}{scale(self.known)[1]}"


def scale(scored: Mapping[str, Any]) -> tuple[int, str]:
    """Returns the factor of a score and the suffix of its name, given its `unit`: a share is shown in percent."""
    unit = scored.get("unit", "")
    return (100, " %") if unit == "share" else (1, f" {unit}" if unit else "")


def scores_of(rows: Iterable[Row]) -> list[Score]:
    """Returns the scores in `rows`, in their order. Scores of one name under several settings are separate."""
    rows = list(rows)
    settings: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if _settings(row):
            settings.setdefault(_name(row), {})[json.dumps(_settings(row), sort_keys=True)] = _settings(row)
    found: dict[tuple[str, ...], Score] = {}
    for row in rows:
        others = list(settings.get(_name(row), {}).values())
        own = _difference(_settings(row), others) if len(others) > 1 else ""
        score = found.setdefault((*_name(row), own), Score(row, own))
        score.rows.setdefault(row["arm"], {}).setdefault(row["generation"], []).append(row)
    return list(found.values())


def without_repeats(rows: Iterable[Row]) -> Iterator[Row]:
    """Yields `rows` with one accuracy for each network and data set.

    A generation's last epoch and the evaluator `accuracy` measure the same network on the same images. Where both did,
    the row of the evaluator remains. Where only training did, its row stands in for the other, if the two agree
    wherever both exist and the evaluator has one setting.
    """
    rows = list(rows)
    accuracies = [row for row in rows if (row["evaluator"], row["metric"]) == ACCURACY]
    evaluated = {_place(row): row for row in accuracies}
    one_setting = len({json.dumps(_settings(row), sort_keys=True) for row in accuracies if _settings(row)}) <= 1
    agree: dict[str, list[bool]] = {}
    for row in rows:
        if (row["evaluator"], row["metric"]) == TRAINING and (other := evaluated.get(_place(row))):
            agree.setdefault(row["dataset"], []).append(_equal(row["value"], other["value"]))
    for row in rows:
        if (row["evaluator"], row["metric"]) != TRAINING:
            yield row
        elif _place(row) not in evaluated:
            stands_in = one_setting and all(agree.get(row["dataset"], [False]))
            yield row | _as_accuracy(row) if stands_in else row


def _as_accuracy(row: Row) -> Row:
    notes = [*row.get("details", {}).get("notes", ()), STANDS_IN]
    return {"evaluator": ACCURACY[0], "metric": ACCURACY[1], "details": {"notes": notes}}


def _equal(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=0, abs_tol=1e-6)


def _place(row: Row) -> tuple[str, int, int, str]:
    return row["arm"], row["seed"], row["generation"], row["dataset"]


def _name(row: Row) -> tuple[str, str, str]:
    return row["evaluator"], row["dataset"], row["metric"]


def _settings(row: Row) -> Row:
    found: Row = row.get("details", {}).get("settings", {})
    return found


def _difference(own: Row, others: list[Row]) -> str:
    names = sorted({name for each in others for name in each if any(each.get(name) != one.get(name) for one in others)})
    return "(" + ", ".join(f"{name} {_word(own.get(name))}" for name in names) + ")"


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
