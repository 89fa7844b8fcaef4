"""`relearn submit`, `list`, `watch`, `results` and `cancel`: experiments on a running server."""

import argparse
import json
from typing import Any

from rich.console import Console

from api.cli import specs
from api.cli.progress import follow
from api.cli.tables import results_table, search_table, without_given_up
from api.client import Client
from orchestrator.states import ExperimentState


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    submit = _command(commands, "submit", _submit, "post an experiment")
    submit.add_argument("spec", metavar="SPEC|PRESET")
    _command(commands, "list", _list, "list the newest experiments")
    _command(commands, "watch", _watch, "follow an experiment until it ends").add_argument("experiment")
    _command(commands, "cancel", _cancel, "cancel an experiment; what it has committed is kept").add_argument(
        "experiment"
    )
    results = _command(commands, "results", _results, "print the table of results so far")
    results.add_argument("experiment")
    results.add_argument("--all", action="store_true", help="print every score, not only the headline scores")
    results.add_argument("--json", action="store_true", help="print the tidy rows as JSON")


def _command(commands: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(command=function)
    return command


def _submit(options: argparse.Namespace, console: Console) -> int:
    spec = specs.read(options.spec)
    with Client() as client:
        print_posted(client.submit(spec), console)
    return 0


def _list(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        for row in client.experiments():
            console.print(f"{row['id']}  {row['state']:<10} {row['created_at']}  {row['name']}")
    return 0


def _watch(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        view = follow(client.watch(options.experiment), console)
    return 0 if view["state"] == ExperimentState.SUCCEEDED else 1


def _results(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        rows = client.results(options.experiment)
        search = None if options.json else client.experiment(options.experiment)["search"]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        if search is not None:
            console.print(search_table(search))
        console.print(results_table(without_given_up(rows, search), everything=options.all))
    return 0


def _cancel(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        console.print(client.cancel(options.experiment)["state"].lower())
    return 0


def print_posted(posted: dict[str, Any], console: Console) -> None:
    """Prints the id of an experiment that was just posted, and how much of its work is done already."""
    console.print(f"experiment {posted['id']}")
    for kind, counts in posted["plan"].items():
        numbers = f"{counts['requested']} requested, {counts['unique']} unique, {counts['cached']} done before"
        console.print(f"  {kind}s: {numbers}")
