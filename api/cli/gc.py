"""`relearn gc`: checkpoints and folders that nobody needs any more."""

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from api.client import Client


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    text = "list checkpoints and folders that nobody needs any more, or remove them"
    gc = commands.add_parser("gc", help=text, description=text)
    gc.add_argument("--delete", action="store_true", help="remove them; else nothing changes")
    gc.add_argument("--grace-days", type=float, default=7.0, metavar="N", help="what is younger stays (7)")
    gc.add_argument("--experiment", metavar="ID", help="only what this experiment shows")
    gc.add_argument("--json", action="store_true")
    gc.set_defaults(command=_gc)


def _gc(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        report = client.clean(options.delete, options.grace_days, options.experiment)
    if options.json:
        print(json.dumps(report, indent=1))
        return 0
    going = [*report["checkpoints"], *report["leftovers"], *report["folders"]]
    if going:
        table = Table("what", "why", "size", title="Removed" if report["deleted"] else "Would go", title_justify="left")
        for each in going:
            table.add_row(each["what"], each["why"], _size(each["bytes"]))
        console.print(table)
    said = "removed" if report["deleted"] else "would go; `relearn gc --delete` removes it"
    console.print(f"{len(report['checkpoints'])} checkpoints and {_size(report['bytes'])} in all {said}")
    for why, count in sorted(report["kept"].items()):
        console.print(f"{count} checkpoints stay: {why}")
    return 0


def _size(count: float) -> str:
    """`count` bytes with three digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
