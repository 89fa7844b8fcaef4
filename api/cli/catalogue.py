"""`relearn methods`, `evaluators` and `check-method`: what a spec may name on this machine. They need no server."""

import argparse
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from api.cli.tables import catalogue_table, findings_table
from api.client import Refused
from orchestrator.settings import Settings


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    for name, function, text in (
        ("methods", _methods, "list the methods that a spec may name on this machine"),
        ("evaluators", _evaluators, "list the evaluators that a spec may name on this machine"),
    ):
        listing = commands.add_parser(name, help=text, description=text)
        listing.add_argument("--json", action="store_true", help="print JSON, with the schema of the settings")
        listing.set_defaults(command=function)
    text = "check a method on a tiny network; a method of another package may be used after it has passed"
    check = commands.add_parser("check-method", help=text, description=text)
    check.add_argument("method", metavar="NAME")
    check.set_defaults(command=_check_method)


def _methods(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import catalogue  # loads torch, which the commands that only call the API do without

    return _print_items(
        [entry.as_json() for entry in catalogue.known_methods(Settings.from_environment().home)], options, console
    )


def _evaluators(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import catalogue  # loads torch, as above

    return _print_items([entry.as_json() for entry in catalogue.known_evaluators()], options, console)


def _print_items(items: list[dict[str, Any]], options: argparse.Namespace, console: Console) -> int:
    if options.json:
        print(json.dumps(items, indent=1))
    else:
        console.print(catalogue_table(items))
    return 0


def _check_method(options: argparse.Namespace, console: Console) -> int:
    from orchestrator import catalogue  # loads torch, as above

    began = time.monotonic()
    try:
        findings = catalogue.check_method(Settings.from_environment().home, options.method, datetime.now(UTC))
    except catalogue.UnknownMethod as error:
        raise Refused({"title": "Unknown method", "detail": str(error)}) from error
    console.print(findings_table([asdict(finding) for finding in findings]))
    failed = sum(not finding.passed for finding in findings)
    outcome = f"{failed} of {len(findings)} failed" if failed else f"all {len(findings)} passed"
    console.print(f"{options.method}: {outcome} after {time.monotonic() - began:.0f} s")
    return 1 if failed else 0
