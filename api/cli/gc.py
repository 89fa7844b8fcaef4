"""`relearn gc`: list or remove checkpoints and folders that are no longer needed."""

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from api.client import Client


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    text = "list checkpoints and folders that are no longer needed, or remove them"
    gc = commands.add_parser("gc", help=text, description=text)
    gc.add_argument("--delete", action="store_true", help="remove them; without this option nothing changes")
    gc.add_argument(
        "--grace-days", type=float, default=7.0, metavar="N", help="keep everything younger than N days (default 7)"
    )
    gc.add_argument("--experiment", metavar="ID", help="consider only the nodes of this experiment")
    gc.add_argument("--json", action="store_true", help="print the answer as JSON")
    gc.set_defaults(command=_gc)


def _gc(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        report = client.clean(options.delete, options.grace_days, options.experiment)
    if options.json:
        print(json.dumps(report, indent=1))
        return 0
    removals = [*report["checkpoints"], *report["leftovers"], *report["folders"]]
    outcome = "removed" if report["deleted"] else "would be removed"
    if removals:
        table = Table(
            "what",
            "why",
            "size",
            title=outcome.capitalize(),
            title_justify="left",
        )
        for each in removals:
            table.add_row(each["what"], each["why"], _size(each["bytes"]))
        console.print(table)
    hint = "" if report["deleted"] else "; `relearn gc --delete` removes it"
    console.print(f"{outcome}: {len(report['checkpoints'])} checkpoints, {_size(report['bytes'])} in total{hint}")
    for why, count in sorted(report["kept"].items()):
        console.print(f"{count} checkpoints are kept: {why}")
    return 0


def _size(count: float) -> str:
    """Formats `count` bytes with three digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
