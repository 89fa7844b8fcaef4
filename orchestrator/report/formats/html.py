"""The report as one self-contained HTML page: it has no scripts, requests nothing, and embeds its figures as SVG."""

import base64
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from orchestrator.report.formats import text
from orchestrator.report.model import Figure, Report

MOST_SHARED = 60
"""The page shows at most this many rows of shared work; the JSON format has all."""


def page(report: Report, drawn: dict[str, str] | None = None) -> str:
    """The page as HTML. `drawn` has the SVG document of each figure by name, if they are drawn already."""
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
    """The SVG document of each figure by name."""
    if not figures:
        return {}
    # importing matplotlib takes a second, which a report without figures need not wait for
    from orchestrator.report.formats import svg

    return {figure.name: svg.svg(figure) for figure in figures}


def _data_uri(image: str) -> str:
    """A data URI for an `img` element, in which an SVG can neither run scripts nor load anything."""
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
