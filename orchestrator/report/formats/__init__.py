"""The formats of a report by name, and the files of a report that are kept beside an experiment's runs."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.report.formats import csv, html, latex, markdown
from orchestrator.report.model import Report


@dataclass(frozen=True)
class Format:
    """How a report is rendered, with its media type and the suffix of its files."""

    render: Callable[[Report], str]
    media_type: str
    suffix: str


def _json(report: Report) -> str:
    return json.dumps(report.as_json(), indent=1, allow_nan=False) + "\n"


FORMATS = {
    "html": Format(html.page, "text/html", "html"),
    "markdown": Format(markdown.document, "text/markdown", "md"),
    "latex": Format(latex.document, "application/x-tex", "tex"),
    "csv": Format(csv.lines, "text/csv", "csv"),
    "json": Format(_json, "application/json", "json"),
}


def files(report: Report) -> dict[str, str]:
    """The files of a report by relative path: the HTML page, Markdown, JSON, and each figure as SVG."""
    drawn = html.drawings(report.figures)
    return {
        "report.html": html.page(report, drawn),
        "report.md": markdown.document(report, "figures"),
        "report.json": _json(report),
    } | {f"figures/{name}.svg": image for name, image in drawn.items()}
