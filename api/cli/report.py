"""`relearn report EXPERIMENT...`: the tables, figures and provenance of experiments in a chosen format."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from api.client import Client, Refused

_FORMAT_BY_SUFFIX = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
    ".json": "json",
}


def add(commands: Any) -> None:
    """Adds the command to those of `relearn`."""
    text = "print or write the report of an experiment so far, or of several experiments as one"
    report = commands.add_parser("report", help=text, description=text)
    report.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="id, as `relearn list` shows it")
    formats = sorted(set(_FORMAT_BY_SUFFIX.values()))
    report.add_argument("--format", choices=formats, help="default: by the suffix of FILE; markdown without FILE")
    report.add_argument("--out", type=Path, metavar="FILE", help="write to FILE instead of printing")
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace, console: Console) -> int:
    format_ = options.format or _format_of(options.out)
    with Client() as client:
        text = client.report(options.experiments, format_)
    if options.out is None:
        print(text, end="")
        return 0
    try:
        options.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused({"title": f"{options.out} cannot be written", "detail": str(error)}) from error
    console.print(f"{options.out}: {format_}, {len(text.encode()):,} bytes", highlight=False, soft_wrap=True)
    return 0


def _format_of(out: Path | None) -> str:
    """Returns the format that the suffix of `out` stands for. Raises Refused for an unknown suffix."""
    if out is None:
        return "markdown"
    if out.suffix.lower() not in _FORMAT_BY_SUFFIX:
        detail = f"its suffix is none of {', '.join(_FORMAT_BY_SUFFIX)}: use one of them, or give --format"
        raise Refused({"title": f"{out}: unknown format", "detail": detail})
    return _FORMAT_BY_SUFFIX[out.suffix.lower()]
