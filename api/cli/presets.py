"""`relearn presets [NAME]`: experiments to start from. The command needs no server."""

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from api.client import Refused


def add(commands: Any) -> None:
    """Adds the command to those of `relearn`."""
    text = "list the presets; with NAME, print the spec of that preset, which can be edited and posted"
    presets = commands.add_parser("presets", help=text, description=text)
    presets.add_argument("name", metavar="NAME", nargs="?", help="a preset, such as digits/table-2")
    presets.add_argument("--json", action="store_true", help="print the list as JSON")
    presets.set_defaults(command=_presets)


def _presets(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import presets  # loads torch, which the commands that only call the API do without
    from orchestrator.problems import nearest

    known = presets.known()
    if options.name is not None:
        if options.name not in known:
            closest = nearest(options.name, list(known))
            hint = f"did you mean {closest!r}?" if closest else "`relearn presets` lists them"
            raise Refused({"title": "Unknown preset", "detail": f"{options.name!r} is not a preset: {hint}"})
        print(json.dumps(known[options.name].expanded(), indent=1))
        return 0
    if options.json:
        print(json.dumps([preset.summary() for preset in known.values()], indent=1))
        return 0
    table = Table("preset", "what it is about", box=None)
    for preset in known.values():
        table.add_row(preset.reference, preset.about)
    console.print(table)
    return 0
