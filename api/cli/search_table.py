"""The trials of a search as the command line shows them."""

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator import metrics

SHOWN = 20
"""Trials in the table; the API has all."""


def search_table(search: dict[str, Any]) -> Table:
    """The best trials: settings, how far each was trained, and its objective on every rung."""
    objective = search["objective"]
    evaluator, metric = objective["evaluator"]["name"], objective["metric"]
    share = metrics.about(evaluator, metric).share
    score = f"{evaluator} {search['dataset']} {metric}" + (" %" if share else "")
    title = f"Search of {search['arm']} by {score} ({objective['mode']})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", no_wrap=True)
    trials = search["trials"]
    for field in trials[0]["settings"]:
        table.add_column(field, justify="right")
    for rung in search["rungs"]:
        table.add_column(f"g{rung}", justify="right", no_wrap=True)
    table.add_column("")
    for trial in trials[:SHOWN]:
        scores = [trial["objective"].get(str(rung)) for rung in search["rungs"]]
        table.add_row(
            trial["arm"],
            *(f"{value:g}" if isinstance(value, float) else str(value) for value in trial["settings"].values()),
            *("" if score is None else f"{score * (100 if share else 1):.2f}" for score in scores),
            f"as {trial['same_as']}" if trial["same_as"] else "kept" if trial["kept"] else trial["state"].lower(),
        )
    more = f"{len(trials) - SHOWN} more trials\n" if len(trials) > SHOWN else ""
    table.caption, table.caption_justify = Text(more + search["note"]), "left"
    return table


def shown(rows: list[dict[str, Any]], search: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The result rows without those of trials that are not among the best: `search_table` has what is to be said of them."""
    left_out = {trial["arm"] for trial in search["trials"] if not trial["kept"]} if search is not None else set()
    return [row for row in rows if row["arm"] not in left_out]
