"""`relearn plan SPEC|PRESET`: what an experiment would train, share, store and cost, before it is posted."""

import argparse
import json
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from api.cli import specs
from api.client import Client

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
SHOWN = 12
"""The number of lines that are printed of each list; `--json` prints everything."""
_COUNTS = ("requested", "unique", "cached", "in_flight", "to_do")
"""The fields of a count in the API's answer, in the order of the table's columns."""


def add(commands: Any) -> None:
    """Adds the command to those of `relearn`."""
    text = "print what an experiment would train, share, store and cost; nothing is stored"
    plan = commands.add_parser("plan", help=text, description=text)
    plan.add_argument("spec", metavar="SPEC|PRESET", help="a JSON file, or a preset such as paper/table-2")
    plan.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    plan.add_argument(
        "--measure",
        action="store_true",
        help="first time a few steps of work that was never trained here (about a minute)",
    )
    plan.set_defaults(command=_plan)


def _plan(options: argparse.Namespace, console: Console) -> int:
    spec = specs.read(options.spec)
    with Client() as client:
        answer = client.plan(spec, measure=options.measure)
    if options.json:
        print(json.dumps(answer, indent=1))
    else:
        print_plan(answer, console)
    return 0


def print_plan(answer: dict[str, Any], console: Console) -> None:
    """Prints the answer of POST /experiments/plan as text."""
    made_from = f" (preset {answer['preset']})" if answer["preset"] else ""
    console.print(f"{answer['name']}{made_from}", highlight=False, markup=False, emoji=False)
    console.print(_counts(answer))
    _print_list("shared", [each["why"] for each in answer["sharing"]], console)
    console.print(_hours(answer["quote"]))
    _print_list("not known, so not in the totals", answer["quote"]["unknown"], console)
    kept, peak = (_bytes(answer["storage"][name]) for name in ("kept_bytes", "peak_bytes"))
    console.print(
        f"storage: {kept} are kept, at most {peak} at a time: {answer['storage']['basis']}",
        highlight=False,
        markup=False,
        emoji=False,
    )
    for message in dict.fromkeys(warning["message"] for warning in answer["warnings"]):
        console.print(f"warning: {message}", highlight=False, markup=False, emoji=False)


def _counts(answer: dict[str, Any]) -> Table:
    table = _table("", "separately", "requested", "unique", "done before", "in flight", "to do")
    for kind, counts in answer["nodes"].items():
        if counts["requested"]:
            table.add_row(f"{kind}s", "", *(_number(counts[name]) for name in _COUNTS))
    for name, counts in answer["evaluations"].items():
        table.add_row(f"  {name}", "", *(_number(counts[each]) for each in _COUNTS))
    for unit in ("epochs", "steps"):
        counts = answer[unit]
        known = "" if not counts.get("partial") else " (as far as known)"
        cells = [counts["separate"], None, counts["shared"], *(counts[each] for each in _COUNTS[2:])]
        table.add_row(f"{unit}{known}", *("" if each is None else _number(each) for each in cells))
    return table


def _hours(quote: dict[str, Any]) -> Table:
    table = _table("time", "p10", "p50", "p90", "from", left=("time", "from"))
    for part in quote["parts"][:SHOWN]:
        if part["hours"]["p50"] is not None:
            work = f"{part['units']:,} {part['unit']}s: {part['what']}"
            table.add_row(work, *_durations(part["hours"]), part["basis"])
    rest = "all together" if not quote["partial"] else "all that is known"
    wall = quote["wall_hours"]
    for name, hours in (
        (f"{rest}, one after another", wall["one_after_another"]),
        ("with unlimited workers", wall["critical_path"]),
        (f"with the cluster's {wall['lanes']['count']} training slots" if wall["lanes"] else "", wall["lanes"]),
        ("GPU time", quote["gpu_hours"]),
    ):
        if hours is not None and hours["p50"] is not None and not (name == "GPU time" and hours["p50"] == 0):
            table.add_row(name, *_durations(hours), "")
    if not table.rows:
        table.add_row("nothing was timed before", "?", "?", "?", "`--measure` times a few steps")
    return table


def _table(*columns: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        is_text = index == 0 or name in left
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def _print_list(title: str, sentences: list[str], console: Console) -> None:
    if sentences:
        console.print(f"{title}:", highlight=False, markup=False, emoji=False)
    for sentence in sentences[:SHOWN]:
        console.print(f"  {sentence}", highlight=False, markup=False, emoji=False)
    if len(sentences) > SHOWN:
        console.print(f"  and {len(sentences) - SHOWN} more (--json)", highlight=False, markup=False, emoji=False)


def _durations(hours: dict[str, float | None]) -> list[str]:
    return [_duration(hours[end]) for end in ("p10", "p50", "p90")]


def _duration(hours: float | None) -> str:
    if hours is None:
        return "?"
    seconds = hours * 3600
    size, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def _bytes(count: int) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _number(count: int) -> str:
    return f"{count:,}"
