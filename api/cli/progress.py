"""Shows an experiment while it runs: as a live table on a terminal, otherwise as plain lines."""

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.cli.tables import search_table
from api.cli.wording import of_last
from orchestrator.printable import printable
from orchestrator.states import ExperimentState

REPORT_S = 10.0
"""Seconds between two reports of the numbers where there is no terminal."""


def follow(views: Iterable[dict[str, Any]], console: Console) -> dict[str, Any]:
    """Shows each view of an experiment as it comes, and returns the last one."""
    view = _follow_live(views, console) if console.is_terminal else _follow_in_lines(views, console)
    if view.get("search"):
        console.print(search_table(view["search"]))
    return view


def _follow_live(views: Iterable[dict[str, Any]], console: Console) -> dict[str, Any]:
    view: dict[str, Any] = {}
    with Live(console=console, refresh_per_second=4) as live:
        for view in views:
            live.update(_panel(view))
    return view


def _follow_in_lines(views: Iterable[dict[str, Any]], console: Console) -> dict[str, Any]:
    """Prints every new state at once, and new numbers at most every REPORT_S seconds and at the end."""
    view: dict[str, Any] = {}
    printed: dict[str, object] = {}
    printed_at = 0.0
    for view in views:
        state = (view["state"], view["message"])
        progress = view["progress"]
        if printed.get("state") != state:
            _say(console, f"{view['state'].lower()}{': ' + view['message'] if view['message'] else ''}")
            printed["state"] = state
        due = time.monotonic() - printed_at >= REPORT_S or view["state"] == ExperimentState.SUCCEEDED
        numbers = (progress["epochs_done"], progress["evaluations_done"])
        if due and printed.get("numbers") != numbers and (any(numbers) or progress["epochs_cached"]):
            printed_at = time.monotonic()
            printed["numbers"] = numbers
            _say(console, _headline(view))
            for row in view["rows"]:
                if row["generation"] is not None and printed.get(_name(row)) != (row["generation"], row["epoch"]):
                    printed[_name(row)] = (row["generation"], row["epoch"])
                    _say(console, "  " + _line(row))
    for failure in _failures(view):
        _say(console, failure)
    for warning in _warnings(view):
        _say(console, f"warning: {warning}")
    return view


def _say(console: Console, text: str) -> None:
    console.print(_plain(text), highlight=False)


def _plain(text: str, style: str = "") -> Text:
    """Returns text of a user as it is: no markup, no emoji codes, no terminal codes, folded where it is too long."""
    return Text(printable(text).replace("\t", " "), style=style, overflow="fold")


def _panel(view: dict[str, Any]) -> Group:
    progress = view["progress"]
    table = Table(box=None, pad_edge=False)
    for column in ("arm", "seed", "generation", "epoch", "phase", "train", "test"):
        table.add_column(column, justify="left" if column in ("arm", "phase") else "right")
    for row in view["rows"]:
        begun = row["generation"] is not None
        table.add_row(
            _plain(row["arm"]),
            str(row["seed"]),
            of_last(row["generation"], row["generations"]) if begun else "-",
            f"{row['epoch'] + 1}/{row['epochs']}" if begun else "-",
            _plain(row["phase"] or "waiting"),
            _percent(row["train_accuracy"]),
            _percent(row["test_accuracy"]),
        )
    bars = Table.grid(padding=(0, 1))
    for name, unit in (("training", "epochs"), ("evaluation", "evaluations")):
        bars.add_row(name, ProgressBar(progress[f"{unit}_total"], progress[f"{unit}_done"], width=40))
    parts: list[Any] = [_plain(_headline(view)), bars, table]
    if view["message"]:
        parts.append(_plain(view["message"]))
    parts += [_plain(failure, style="red") for failure in _failures(view)]
    parts += [_plain(f"warning: {warning}", style="yellow") for warning in _warnings(view)]
    return Group(*parts)


def _headline(view: dict[str, Any]) -> str:
    progress = view["progress"]
    text = f"{view['name']} {view['state'].lower()}: {progress['epochs_done']}/{progress['epochs_total']} epochs"
    if progress["epochs_cached"]:
        text += f" ({progress['epochs_cached']} done before)"
    text += f", {progress['evaluations_done']}/{progress['evaluations_total']} evaluations"
    left = progress["training_left_s"]
    return text if left is None else f"{text}, about {_duration(left)} of training left"


def _duration(seconds: float) -> str:
    if seconds <= 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds <= 7200 else f"{seconds / 3600:.1f} h"


def _line(row: dict[str, Any]) -> str:
    generation = f"generation {of_last(row['generation'], row['generations'])}"
    epoch = f"epoch {row['epoch'] + 1}/{row['epochs']} ({row['phase']})"
    accuracy = f"train {_percent(row['train_accuracy'])} test {_percent(row['test_accuracy'])}"
    return f"{_name(row):<16} {generation} {epoch}: {accuracy}"


def _name(row: dict[str, Any]) -> str:
    return f"{row['arm']}/seed{row['seed']}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _failures(view: dict[str, Any]) -> list[str]:
    """The first failure of every arm that the message does not give, with the number of nodes that did not finish."""
    return [
        f"failed: {each['arm']}/seed{each['seed']}: {each['message']}"
        + (f" ({each['nodes']} nodes did not finish)" if each["nodes"] > 1 else "")
        for each in view.get("failures", [])
        if each["message"] not in (view["message"] or "")
    ]


def _warnings(view: dict[str, Any]) -> list[str]:
    """The first warning of every arm, with the number of its other warnings."""
    counted: dict[str, int] = {}
    for warning in view.get("warnings", []):
        counted[warning["arm"]] = counted.get(warning["arm"], 0) + 1
    first = {warning["arm"]: warning["message"] for warning in reversed(view.get("warnings", []))}
    return [
        f"{arm}: {first[arm]}" + (f" (and {count - 1} more)" if count > 1 else "") for arm, count in counted.items()
    ]
