"""The report of one or several experiments, finished or not: tables, figures and where the numbers come from.

`build` reads the database once and returns the report as data (`model.Report`). `formats.FORMATS` render it as HTML,
Markdown, LaTeX, CSV or JSON.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator.report import figures, notes, provenance
from orchestrator.report.layouts import layouts
from orchestrator.report.model import Report
from orchestrator.report.source import Source
from orchestrator.report.tables import filled
from orchestrator.store import Store
from orchestrator.store.records import Experiment

__all__ = ["Report", "build"]


def build(store: Store, experiments: Sequence[Experiment], now: float | None = None) -> Report:
    """The report of `experiments`, at least one and all different, as the database holds them.

    `now` is the time that the report states as its own, in seconds since the epoch; None stands for the current time.
    """
    names = [row.name for row in experiments]
    sources = [Source(store, row, row.name if names.count(row.name) == 1 else row.id) for row in experiments]
    tables = tuple(filled(layout) for layout in layouts(sources))
    at = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    return Report(
        _title(sources),
        at.isoformat(timespec="seconds"),
        tuple(notes.notices(sources)),
        tuple(provenance.experiment(source) for source in sources),
        tables,
        tuple(figures.figures(sources)),
        tuple(notes.warnings(sources)),
        provenance.provenance(sources, _details(sources)),
    )


def _title(sources: list[Source]) -> str:
    if len(sources) == 1:
        return str(sources[0].spec.get("title") or sources[0].label)
    return "Comparison of " + ", ".join(source.label for source in sources)


def _details(sources: list[Source]) -> list[dict[str, Any]]:
    return [details for source in sources for details in source.details]
