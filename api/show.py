"""How the command line shows progress and results: live tables on a terminal, plain lines elsewhere."""

import statistics
import time
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.search_table import search_table
from orchestrator import metrics


def follow(views: Iterable[dict[str, Any]], console: Console) -> dict[str, Any]:
    """Shows each view as it comes and returns the last."""
    view: dict[str, Any] = {}
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            for view in views:
                live.update(_panel(view))
        _tell_search(view, console)
        return view
    said: dict[str, object] = {}
    spoke_at = 0.0
    for view in views:
        state = (view["state"], view["message"])
        progress = view["progress"]
        if said.get("state") != state:
            console.print(f"{view['state'].lower()}{': ' + view['message'] if view['message'] else ''}")
            said["state"] = state
        due = time.monotonic() - spoke_at >= 10 or view["state"] == "SUCCEEDED"
        numbers = (progress["epochs_done"], progress["evaluations_done"])
        if due and said.get("numbers") != numbers and (any(numbers) or progress["epochs_cached"]):
            spoke_at = time.monotonic()
            said["numbers"] = numbers
            console.print(_headline(view))
            for row in view["rows"]:
                if row["generation"] is not None and said.get(_name(row)) != (row["generation"], row["epoch"]):
                    said[_name(row)] = (row["generation"], row["epoch"])
                    console.print("  " + _line(row))
    for warning in _warnings(view):
        console.print(f"warning: {warning}")
    _tell_search(view, console)
    return view


def results_table(rows: list[dict[str, Any]], everything: bool = False) -> Table:
    """Scores by arm after its last generation, beside generation 0; mean and sample standard deviation over seeds.

    Below it, each once: what to know before trusting a score that it shows.
    """
    judged = [row for row in rows if row["evaluator"] != "training"] or rows  # every generation has rows of its training
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


def _tell_search(view: dict[str, Any], console: Console) -> None:
    if view.get("search"):
        console.print(search_table(view["search"]))


def _panel(view: dict[str, Any]) -> Group:
    progress = view["progress"]
    table = Table(box=None, pad_edge=False)
    for column in ("arm", "seed", "generation", "epoch", "phase", "train", "test"):
        table.add_column(column, justify="left" if column in ("arm", "phase") else "right")
    for row in view["rows"]:
        begun = row["generation"] is not None
        table.add_row(
            row["arm"],
            str(row["seed"]),
            f"{row['generation'] + 1}/{row['generations']}" if begun else "-",
            f"{row['epoch'] + 1}/{row['epochs']}" if begun else "-",
            row["phase"] or "waiting",
            _percent(row["train_accuracy"]),
            _percent(row["test_accuracy"]),
        )
    bars = Table.grid(padding=(0, 1))
    for name, unit in (("training", "epochs"), ("evaluation", "evaluations")):
        bars.add_row(name, ProgressBar(progress[f"{unit}_total"], progress[f"{unit}_done"], width=40))
    parts: list[Any] = [Text(_headline(view)), bars, table]
    if view["message"]:
        parts.append(Text(view["message"]))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in _warnings(view)]
    return Group(*parts)


def _headline(view: dict[str, Any]) -> str:
    progress = view["progress"]
    text = f"{view['name']} {view['state'].lower()}: {progress['epochs_done']}/{progress['epochs_total']} epochs"
    if progress["epochs_cached"]:
        text += f" ({progress['epochs_cached']} done before)"
    text += f", {progress['evaluations_done']}/{progress['evaluations_total']} evaluations"
    left = progress["training_left_s"]
    return text if left is None else f"{text}, about {left:.0f} s of training left"


def _line(row: dict[str, Any]) -> str:
    where = f"generation {row['generation'] + 1}/{row['generations']} epoch {row['epoch'] + 1}/{row['epochs']} ({row['phase']})"
    return f"{_name(row):<16} {where}: train {_percent(row['train_accuracy'])} test {_percent(row['test_accuracy'])}"


def _name(row: dict[str, Any]) -> str:
    return f"{row['arm']}/seed{row['seed']}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _warnings(view: dict[str, Any]) -> list[str]:
    """Each sentence once per arm, with how often it came."""
    counted: dict[str, int] = {}
    for warning in view.get("warnings", []):
        counted[warning["arm"]] = counted.get(warning["arm"], 0) + 1
    first = {warning["arm"]: warning["message"] for warning in reversed(view.get("warnings", []))}
    return [f"{arm}: {first[arm]}" + (f" (and {count - 1} more)" if count > 1 else "") for arm, count in counted.items()]
