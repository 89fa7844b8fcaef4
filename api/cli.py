"""The command `relearn`.

`up` and `run` start the parts; what is about methods and evaluators needs none of them; all else uses only the API.
"""

import argparse
import json
import signal
import sys
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import httpx
from rich.console import Console

from api import (
    data_commands,
    episode_commands,
    local,
    plan_commands,
    preset_commands,
    report_commands,
    show,
    specs,
    upkeep_commands,
)
from api.client import Client, Refused
from api.search_table import search_table, shown
from orchestrator.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """0 for success, 1 when an experiment or the service failed, 2 when the request was wrong."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        code: int = options.command(options, console)
        return code
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except httpx.TransportError as error:
        print(f"no relearn server answers ({error}): start one with `relearn up`, or set RELEARN_URL", file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relearn", description="Train by forgetting and relearning, and measure what was learned."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    command("up", _up, "start Ray, MLflow and the API on this machine, until Ctrl-C")
    run = command("run", _run, "start everything, run a spec, print its results, stop what was started")
    run.add_argument("spec", metavar="SPEC|PRESET")
    submit = command("submit", _submit, "post a spec")
    submit.add_argument("spec", metavar="SPEC|PRESET")
    command("list", _list, "the newest experiments")
    for name, function, text in (
        ("watch", _watch, "follow an experiment to its end"),
        ("cancel", _cancel, "end an experiment; what is committed stays"),
    ):
        command(name, function, text).add_argument("experiment")
    results = command("results", _results, "the table of results so far")
    results.add_argument("experiment")
    results.add_argument("--all", action="store_true", help="every score, not only the headlines")
    results.add_argument("--json", action="store_true", help="the tidy rows")
    for name, function, text in (
        ("methods", _methods, "the methods that a spec may name on this machine"),
        ("evaluators", _evaluators, "the evaluators that a spec may name on this machine"),
    ):
        command(name, function, text).add_argument("--json", action="store_true", help="with the JSON schema of the settings")
    check = command(
        "check-method", _check_method, "try a method on a tiny net; one of another package may be used once it passed"
    )
    check.add_argument("method", metavar="NAME")
    plan_commands.add(commands)
    data_commands.add(commands)
    episode_commands.add(commands)
    report_commands.add(commands)
    preset_commands.add(commands)
    upkeep_commands.add(commands)
    return parser


def _up(options: argparse.Namespace, console: Console) -> int:
    home = Settings.from_environment().home
    if links := local.running(home):
        console.print(f"already running from {home}: {links['api']}")
        return 1
    stack = local.Stack(home)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        console.print("starting Ray, MLflow and the API ...")
        stack.start()
        stack.wait_for_mlflow()
        _say_links(stack, console)
        console.print("Ctrl-C stops them.")
        while not stopped.wait(1.0):
            stack.check()
    finally:
        console.print("stopping ...")
        stack.stop()
    return 0


def _run(options: argparse.Namespace, console: Console) -> int:
    spec = specs.read(options.spec)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    began = time.monotonic()
    with local.serving(Settings.from_environment().home, console.print) as (links, stack):
        with Client(links["api"]) as client:
            posted = client.submit(spec)
            _say_posted(posted, console)
            view = show.follow(client.watch(posted["id"]), console)
            console.print(show.results_table(shown(client.results(posted["id"]), view["search"])))
            _wait_until_published(client, posted["id"])
        console.print(f"{view['state'].lower()} after {time.monotonic() - began:.0f} s; addresses while `relearn up` runs:")
        _say_links(stack, console, links)
        return 0 if view["state"] == "SUCCEEDED" else 1


def _wait_until_published(client: Client, identity: str) -> None:
    """The runs in MLflow get their final status a moment after the experiment has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not client.experiment(identity)["published"]:
        time.sleep(0.2)


def _submit(options: argparse.Namespace, console: Console) -> int:
    spec = specs.read(options.spec)
    with Client() as client:
        _say_posted(client.submit(spec), console)
    return 0


def _list(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        for row in client.experiments():
            console.print(f"{row['id']}  {row['state']:<10} {row['created_at']}  {row['name']}")
    return 0


def _watch(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        view = show.follow(client.watch(options.experiment), console)
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
        console.print(show.results_table(shown(rows, search), everything=options.all))
    return 0


def _cancel(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        console.print(client.cancel(options.experiment)["state"].lower())
    return 0


def _methods(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import catalogue  # loads torch, which the commands that only ask the API do without

    return _say_items(
        [entry.as_json() for entry in catalogue.known_methods(Settings.from_environment().home)], options, console
    )


def _evaluators(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import catalogue  # likewise

    return _say_items([entry.as_json() for entry in catalogue.known_evaluators()], options, console)


def _say_items(items: list[dict[str, Any]], options: argparse.Namespace, console: Console) -> int:
    if options.json:
        print(json.dumps(items, indent=1))
    else:
        console.print(show.catalogue_table(items))
    return 0


def _check_method(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import catalogue  # likewise

    began = time.monotonic()
    try:
        findings = catalogue.check_method(Settings.from_environment().home, options.method, datetime.now(UTC))
    except catalogue.UnknownMethod as error:
        raise Refused({"title": "Unknown method", "detail": str(error)}) from error
    console.print(show.findings_table([asdict(finding) for finding in findings]))
    failed = sum(not finding.passed for finding in findings)
    outcome = f"{failed} of {len(findings)} failed" if failed else f"all {len(findings)} passed"
    console.print(f"{options.method}: {outcome} after {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _say_posted(posted: dict[str, Any], console: Console) -> None:
    console.print(f"experiment {posted['id']}")
    for kind, counts in posted["plan"].items():
        numbers = f"{counts['requested']} requested, {counts['unique']} unique, {counts['cached']} done before"
        console.print(f"  {kind}s: {numbers}")


def _say_links(stack: local.Stack | None, console: Console, links: dict[str, str] | None = None) -> None:
    links = links or (stack.links if stack else {})
    console.print(f"  API docs       {links['api']}/docs")
    console.print(f"  MLflow         {links['mlflow']}")
    console.print(f"  Ray dashboard  {links['ray']}" + (f"   (token: {stack.token_path})" if stack else ""))


if __name__ == "__main__":
    sys.exit(main())
