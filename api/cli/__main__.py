"""The command `relearn`.

`up` and `run` start the parts; what is about methods and evaluators needs none of them; all else uses only the API.
"""

import argparse
import sys

import httpx
from rich.console import Console

from api.cli import capsules, catalogue, data, episodes, experiments, gc, plan, presets, report, up
from api.client import Refused


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
    for part in (up, experiments, catalogue, plan, data, episodes, report, presets, gc, capsules):
        part.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
