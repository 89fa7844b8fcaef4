"""The tables that the command line prints."""

import statistics
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator import metrics


def results_table(rows: list[dict[str, Any]], everything: bool = False) -> Table:
    """Scores by arm after its last generation, beside generation 0; mean and sample standard deviation over seeds.

    Below it, each once: what to know before trusting a score that it shows.
    """
    judged = [
        row for row in rows if row["evaluator"] != "training"
    ] or rows  # every generation has rows of its training
    last = max((row["generation"] for row in judged), default=0)
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    seeds = len({row["seed"] for row in rows})
    spread = f"mean ± SD over {seeds} seeds" if seeds > 1 else "one seed"
    table = Table(title=f"After generation {last}, {spread}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("score", no_wrap=True)
    columns = [("generation 0", arms[:1], 0)] if last else []
    columns += [(arm, [arm], last) for arm in arms]
    for name, _, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    names = dict.fromkeys((row["evaluator"], row["dataset"], row["metric"]) for row in rows)
    notes: dict[str, None] = {}
    for evaluator, dataset, metric in names:
        known = metrics.about(evaluator, metric)
        if not everything and not known.headline:
            continue
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
            cells.append(_cell([row["value"] for row in shown], 100 if known.share else 1))
        table.add_row(f"{evaluator} {dataset} {metric}" + (" %" if known.share else ""), *cells)
    if notes:
        table.caption, table.caption_justify = Text("\n".join(notes)), "left"
    return table


def catalogue_table(items: list[dict[str, Any]]) -> Table:
    """One line for each thing a spec may name: the first sentence of its description, or why it cannot be used."""
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
    """One line for each question that was asked of a method."""
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
