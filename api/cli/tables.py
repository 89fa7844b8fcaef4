"""The tables that the command line prints: results, the trials of a search, the catalogue, the findings of a check."""

import statistics
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

TRIALS_SHOWN = 20
"""The number of trials in the table of a search; the API returns all of them."""


def results_table(rows: list[dict[str, Any]], everything: bool = False) -> Table:
    """Returns the scores of every arm after its last generation, beside those of generation 0.

    A cell is the mean over seeds and the sample standard deviation. Only headline scores are shown unless `everything`
    is true. Below the table stands, once each, what to know before trusting the scores that it shows.
    Rows without `unit` and `headline`, as an earlier server sends them, are all shown as they are.
    """
    # every generation has rows of its training: they say which generation is the last only if nothing was evaluated
    evaluated = [row for row in rows if row["evaluator"] != "training"] or rows
    last = max((row["generation"] for row in evaluated), default=0)
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    seeds = len({row["seed"] for row in rows})
    spread = f"mean ± SD over {seeds} seeds" if seeds > 1 else "one seed"
    table = Table(title=f"After generation {last}, {spread}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("score", no_wrap=True)
    columns = [("generation 0", arms[:1], 0)] if last else []
    columns += [(arm, [arm], last) for arm in arms]
    for name, _, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    names = {(row["evaluator"], row["dataset"], row["metric"]): row for row in rows}
    notes: dict[str, None] = {}
    for (evaluator, dataset, metric), known in names.items():
        if not everything and not known.get("headline", True):
            continue
        factor, unit = scale(known)
        cells = []
        for _, shown_arms, generation in columns:
            shown = [
                row
                for row in rows
                if (row["evaluator"], row["dataset"], row["metric"], row["generation"])
                == (evaluator, dataset, metric, generation)
                and row["arm"] in shown_arms
                and row["value"] is not None
            ]
            notes |= {f"{evaluator}: {note}": None for row in shown for note in row.get("details", {}).get("notes", [])}
            cells.append(_cell([row["value"] for row in shown], factor))
        table.add_row(f"{evaluator} {dataset} {metric}{unit}", *cells)
    if notes:
        table.caption, table.caption_justify = Text("\n".join(notes)), "left"
    return table


def scale(scored: Mapping[str, Any]) -> tuple[int, str]:
    """Returns the factor of a score and the suffix of its name, given its `unit`: a share is shown in percent."""
    unit = scored.get("unit", "")
    return (100, " %") if unit == "share" else (1, f" {unit}" if unit else "")


def search_table(search: dict[str, Any]) -> Table:
    """Returns the best trials of a search: settings, objective on every rung, and state."""
    objective = search["objective"]
    evaluator, metric = objective["evaluator"]["name"], objective["metric"]
    factor, unit = scale(search)
    title = f"Search of {search['arm']} by {evaluator} {search['dataset']} {metric}{unit} ({objective['mode']})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", no_wrap=True)
    trials = search["trials"]
    for field in trials[0]["settings"]:
        table.add_column(field, justify="right")
    for rung in search["rungs"]:
        table.add_column(f"g{rung}", justify="right", no_wrap=True)
    table.add_column("")
    for trial in trials[:TRIALS_SHOWN]:
        scores = [trial["objective"].get(str(rung)) for rung in search["rungs"]]
        table.add_row(
            trial["arm"],
            *(f"{value:g}" if isinstance(value, float) else str(value) for value in trial["settings"].values()),
            *("" if score is None else f"{score * factor:.2f}" for score in scores),
            f"same as {trial['same_as']}" if trial["same_as"] else "kept" if trial["kept"] else trial["state"].lower(),
        )
    more = f"{len(trials) - TRIALS_SHOWN} more trials\n" if len(trials) > TRIALS_SHOWN else ""
    table.caption, table.caption_justify = Text(more + search["note"]), "left"
    return table


def without_given_up(rows: list[dict[str, Any]], search: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the result rows without those of trials that were not kept; `search_table` shows these trials."""
    left_out = {trial["arm"] for trial in search["trials"] if not trial["kept"]} if search is not None else set()
    return [row for row in rows if row["arm"] not in left_out]


def catalogue_table(items: list[dict[str, Any]]) -> Table:
    """Returns a line for each method or evaluator: the start of its description, or why it cannot be used."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("package", no_wrap=True)
    table.add_column("usable", no_wrap=True)
    table.add_column("")
    for item in items:
        text = item["problem"] or item["description"].split("\n\n")[0].replace("\n", " ")
        package = f"{item['package']} {item['version']}"
        table.add_row(item["name"], package, "yes" if item["checked"] else "no", Text(text))
    return table


def findings_table(findings: list[dict[str, Any]]) -> Table:
    """Returns a line for each question of `relearn check-method`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    for finding in findings:
        table.add_row("passed" if finding["passed"] else "failed", finding["name"], Text(finding["detail"]))
    return table


def _cell(values: list[float], factor: int) -> str:
    if not values:
        return ""
    mean = statistics.fmean(values) * factor
    digits = 2 if abs(mean) < 1000 else 0
    spread = f" ± {statistics.stdev(values) * factor:.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"
