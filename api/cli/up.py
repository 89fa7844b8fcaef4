"""`relearn up` and `relearn run`: start Ray, MLflow and the API on this machine, and stop them afterwards."""

import argparse
import signal
import sys
import threading
import time
from typing import Any

from rich.console import Console

from api.cli import specs
from api.cli.experiments import print_posted
from api.cli.progress import follow
from api.cli.stack import Stack, running, serving
from api.cli.tables import results_table, without_given_up
from api.client import Client
from orchestrator.settings import Settings
from orchestrator.states import ExperimentState


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    text = "start Ray, MLflow and the API on this machine and run them until Ctrl-C"
    commands.add_parser("up", help=text, description=text).set_defaults(command=_up)
    text = "run an experiment and print its results; Ray, MLflow and the API are started for it if they do not run"
    run = commands.add_parser("run", help=text, description=text)
    run.add_argument("spec", metavar="SPEC|PRESET")
    run.set_defaults(command=_run)


def _up(options: argparse.Namespace, console: Console) -> int:
    home = Settings.from_environment().home
    if links := running(home):
        console.print(f"already running from {home}: {links['api']}")
        return 1
    stack = Stack(home)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        console.print("starting Ray, MLflow and the API ...")
        stack.start()
        stack.wait_for_mlflow()
        _print_links(stack, console)
        console.print("Ctrl-C stops them.")
        while not stopped.wait(1.0):
            stack.check()
    finally:
        console.print("stopping ...")
        stack.stop()
    return 0


def _run(options: argparse.Namespace, console: Console) -> int:
    spec = specs.read(options.spec)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit runs the clean-up, a signal alone does not
    began = time.monotonic()
    with serving(Settings.from_environment().home, console.print) as (links, stack):
        with Client(links["api"]) as client:
            posted = client.submit(spec)
            print_posted(posted, console)
            view = follow(client.watch(posted["id"]), console)
            console.print(results_table(without_given_up(client.results(posted["id"]), view["search"])))
            _wait_until_published(client, posted["id"])
        console.print(
            f"{view['state'].lower()} after {time.monotonic() - began:.0f} s; addresses while `relearn up` runs:"
        )
        _print_links(stack, console, links)
        return 0 if view["state"] == ExperimentState.SUCCEEDED else 1


def _wait_until_published(client: Client, identity: str) -> None:
    """Waits at most 30 s for the final status of the runs in MLflow, which they get after the experiment has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not client.experiment(identity)["published"]:
        time.sleep(0.2)


def _print_links(stack: Stack | None, console: Console, links: dict[str, str] | None = None) -> None:
    links = links or (stack.links if stack else {})
    console.print(f"  API docs       {links['api']}/docs")
    console.print(f"  MLflow         {links['mlflow']}")
    console.print(f"  Ray dashboard  {links['ray']}" + (f"   (token: {stack.token_path})" if stack else ""))
