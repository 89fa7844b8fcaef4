"""`relearn capsule export | check`: an experiment as one file, run again elsewhere and compared."""

import argparse
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from api import body
from api.cli import progress, stack
from api.client import Client, Refused
from api.problems import ApiProblem
from orchestrator.settings import Settings


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    capsule = commands.add_parser("capsule", help="export an experiment as one file; run such a file again and compare")
    parts = capsule.add_subparsers(required=True, metavar="COMMAND")
    export = parts.add_parser("export", help="write an experiment's capsule")
    export.add_argument("experiment")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: EXPERIMENT.capsule.json")
    export.set_defaults(command=_export)
    check = parts.add_parser("check", help="run the experiment of a capsule again and compare")
    check.add_argument("file", type=Path)
    check.add_argument("--against", metavar="EXPERIMENT", help="start nothing and compare with this experiment")
    check.add_argument("--json", action="store_true", help="print the verdict as JSON")
    check.set_defaults(command=_check)


def _export(options: argparse.Namespace, console: Console) -> int:
    with Client() as client:
        capsule = client.capsule(options.experiment)
    out = options.out or Path(f"{options.experiment}.capsule.json")
    try:
        out.write_text(json.dumps(capsule, indent=1) + "\n")
    except OSError as error:
        raise Refused({"title": f"{out} cannot be written", "detail": str(error)}) from error
    states = Counter(node["state"].lower() for node in capsule["nodes"])
    console.print(f"{out}: {len(capsule['nodes'])} nodes ({', '.join(f'{n} {state}' for state, n in states.items())})")
    console.print(f"sha256 {capsule['sha256']}")
    return 0


def _check(options: argparse.Namespace, console: Console) -> int:
    """Returns 0 if the results are the same, in every bit or within noise, and 1 if they differ."""
    try:
        raw = body.parse(options.file.read_bytes())
    except (OSError, ApiProblem) as error:
        raise Refused({"title": f"{options.file} cannot be read", "detail": str(error)}) from error
    if not isinstance(raw, dict) or "relearn_capsule" not in raw:
        raise Refused({"title": f"{options.file} is not a capsule", "detail": "`relearn capsule export` writes one"})
    verdict = _compare(raw, options.against) if options.against else _run_again(raw, console)
    if options.json:
        print(json.dumps(verdict, indent=1))
    else:
        _print_verdict(verdict, console)
    return 0 if verdict["verdict"].startswith("same") else 1


def _compare(raw: dict[str, Any], experiment: str) -> dict[str, Any]:
    from orchestrator.problems import InvalidSpec
    from orchestrator.results.capsule import opened  # loads torch, which the commands that only call the API do without
    from orchestrator.results.verdict import verdict

    with Client() as client:
        here = client.capsule(experiment)
    try:
        return verdict(opened(raw), opened(here))
    except InvalidSpec as error:
        raise Refused({"title": "The capsule is not as it was exported", "detail": str(error)}) from error


def _run_again(raw: dict[str, Any], console: Console) -> dict[str, Any]:
    with _server(console) as client:
        posted = client.submit(raw)
        console.print(f"experiment {posted['id']}")
        progress.follow(client.watch(posted["id"]), console)
        return client.verdict(posted["id"])


@contextmanager
def _server(console: Console) -> Iterator[Client]:
    """Yields a client of a server.

    The server is the one that RELEARN_URL names, or the one that runs from the home folder, or a new one, which is
    stopped afterwards.
    """
    if "RELEARN_URL" in os.environ:
        with Client() as client:
            yield client
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit runs the clean-up, a signal alone does not
    with stack.serving(Settings.from_environment().home, console.print) as (links, _), Client(links["api"]) as client:
        yield client


def _print_verdict(verdict: dict[str, Any], console: Console) -> None:
    console.print(f"[bold]{verdict['verdict']}[/bold]", highlight=False)
    counts = verdict["scores"]
    equal = f"{counts['equal']} equal in every bit, {counts['within']} within noise, {counts['outside']} outside"
    console.print(f"{counts['compared']} scores compared: {equal}")
    for rule, count in counts["rules"].items():
        console.print(f"  {count} decided by the rule: {rule}")
    if outside := verdict["first_outside"]:
        there, here = (_score(outside[side]) for side in ("there", "here"))
        scores = f"{there} in the capsule, {here} here ({outside['rule']})"
        console.print(f"first score outside: {outside['node']} {outside['metric']}: {scores}")
    for note in verdict["notes"]:
        console.print(f"* {note}")


def _score(score: dict[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "no value"
    interval = "" if score["low"] is None else f" [{score['low']:.6g}, {score['high']:.6g}]"
    return f"{score['value']:.6g}{interval}"
