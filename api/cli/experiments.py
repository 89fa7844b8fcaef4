"""`relearn submit`, `list`, `watch`, `results` and `cancel`: experiments on a running service."""

import argparse
import json
from typing import Any

from rich.console import Console

from api.cli import specs
from api.cli.progress import follow
from api.cli.search_table import search_table, shown
from api.cli.tables import results_table
from api.client import Client


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    submit = _command(commands, "submit", _submit, "post a spec")
    submit.add_argument("spec", metavar="SPEC|PRESET")
    _command(commands, "list", _list, "the newest experiments")
    _command(commands, "watch", _watch, "follow an experiment to its end").add_argument("experiment")
    _command(commands, "cancel", _cancel, "end an experiment; what is committed stays").add_argument("experiment")
    results = _command(commands, "results", _results, "the table of results so far")
    results.add_argument("experiment")
    results.add_argument("--all", action="store_true", help="every score, not only the headlines")
    results.add_argument("--json", action="store_true", help="the tidy rows")


def _command(commands: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(command=function)
    return command


def _submit(options: argparse.Namespace, console: Console) -> int:
    spec = specs.read(options.spec)
    with Client() as client:
        say_posted(client.submit(spec), console)
    return 0


def _list(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        for row in client.experiments():
            console.print(f"{row['id']}  {row['state']:<10} {row['created_at']}  {row['name']}")
    return 0


def _watch(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        view = follow(client.watch(options.experiment), console)
    return 0 if view["state"] == "SUCCEEDED" else 1


def _results(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        rows = client.results(options.experiment)
        search = None if options.json else client.experiment(options.experiment)["search"]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        if search is not None:
            console.print(search_table(search))
        console.print(results_table(shown(rows, search), everything=options.all))
    return 0


def _cancel(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        console.print(client.cancel(options.experiment)["state"].lower())
    return 0


def say_posted(posted: dict[str, Any], console: Console) -> None:
    console.print(f"experiment {posted['id']}")
    for kind, counts in posted["plan"].items():
        numbers = f"{counts['requested']} requested, {counts['unique']} unique, {counts['cached']} done before"
        console.print(f"  {kind}s: {numbers}")
