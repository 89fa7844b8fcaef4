"""The command `relearn`.

`up` and `run` start Ray, MLflow and the API on this machine. The commands about methods, evaluators, presets, data sets
and episodes need no server. All other commands use only the HTTP API.
"""

import argparse
import sys

import httpx
from rich.console import Console

from api.cli import capsules, catalogue, data, episodes, experiments, gc, plan, presets, report, up
from api.client import Refused


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    0 means success, 1 that an experiment or the service failed, 2 that the request was wrong, 3 that data is missing or
    damaged, and 130 that the user pressed Ctrl-C.
    """
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
    for part in (up, experiments, catalogue, plan, data, episodes, report, presets, gc, capsules):
        part.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
