"""The report as one HTML page that needs nothing else: no script, no request, figures as SVG inside."""

import base64
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from orchestrator.report.formats import text
from orchestrator.report.model import Figure, Report

MOST_SHARED = 60
"""Rows of shared work shown; JSON has all."""


def page(report: Report, drawn: dict[str, str] | None = None) -> str:
    """The page. `drawn` are SVG documents by figure name, where they are drawn already."""
    images = {name: _data_uri(image) for name, image in (drawings(report.figures) if drawn is None else drawn).items()}
    shared = text.shared(report.provenance.generations)
    return _template().render(
        report=report,
        images=images,
        text=text,
        notes=text.numbered(report.tables),
        shared=shared[:MOST_SHARED],
        more_shared=max(0, len(shared) - MOST_SHARED),
    )


def drawings(figures: tuple[Figure, ...]) -> dict[str, str]:
    """SVG documents by figure name."""
    if not figures:
        return {}
    from orchestrator.report.formats import (
        svg,  # matplotlib takes a second, which a report without figures need not wait for
    )

    return {figure.name: svg.svg(figure) for figure in figures}


def _data_uri(image: str) -> str:
    """In an `img` an SVG runs nothing and loads nothing."""
    return f"data:image/svg+xml;base64,{base64.b64encode(image.encode()).decode()}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("orchestrator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
