"""GET /experiments/{id}/report and /report: the report of one experiment, or of several in one, in five formats."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from api.deps import TheExperiment, TheStore, experiment_of
from orchestrator.store import Row, Store

router = APIRouter(tags=["reports"])

FormatName = Literal["html", "markdown", "latex", "csv", "json"]
Format = Annotated[FormatName, Query(description="html opens in a browser; the others are files")]
MOST_EXPERIMENTS = 50
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report. `docs/report.md` names the fields of the JSON.",
        "content": {
            kind: {} for kind in ("text/html", "text/markdown", "application/x-tex", "text/csv", "application/json")
        },
    }
}


@router.get("/experiments/{experiment_id}/report", response_class=Response, responses=_ANSWERS)
def report_of_one(experiment: TheExperiment, store: TheStore, format: Format = "html") -> Response:
    """Tables, figures and where the numbers come from, of what was measured so far; it says what is missing."""
    return _answer(store, [experiment], format)


@router.get("/report", response_class=Response, responses=_ANSWERS)
def report_of_several(
    store: TheStore,
    experiment: Annotated[list[str], Query(min_length=1, max_length=MOST_EXPERIMENTS, description="id; once for each")],
    format: Format = "html",
) -> Response:
    """One report of several experiments: tables of one name and equal columns are one, and so are all default tables."""
    return _answer(store, [experiment_of(each, store) for each in dict.fromkeys(experiment)], format)


def _answer(store: Store, experiments: Sequence[Row], format: FormatName) -> Response:
    from orchestrator.report import build  # with jinja2 and later matplotlib, which the API's start need not wait for
    from orchestrator.report.formats import FORMATS

    chosen = FORMATS[format]
    name = experiments[0]["name"] if len(experiments) == 1 else "report"
    headers = dict(_HEADERS)
    if format not in ("html", "json"):
        headers["Content-Disposition"] = f'attachment; filename="{name}.{chosen.suffix}"'
    return Response(chosen.render(build(store, experiments)), media_type=chosen.media_type, headers=headers)
