"""GET /experiments/{id}/report and GET /report: the report of one experiment, or of several, in five formats."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from api.deps import ExperimentDep, StoreDep, experiment_of
from orchestrator.store import Store
from orchestrator.store.records import Experiment

router = APIRouter(tags=["reports"])

FormatName = Literal["html", "markdown", "latex", "csv", "json"]
Format = Annotated[FormatName, Query(description="html opens in a browser; the other formats are files")]
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
def report_of_one(experiment: ExperimentDep, store: StoreDep, format: Format = "html") -> Response:
    """Returns the tables and figures of what was measured so far, and the origin of every number.

    The report marks what is not measured yet.
    """
    return _answer(store, [experiment], format)


@router.get("/report", response_class=Response, responses=_ANSWERS)
def report_of_several(
    store: StoreDep,
    experiment: Annotated[
        list[str],
        Query(min_length=1, max_length=MOST_EXPERIMENTS, description="the id of an experiment; repeat it for each one"),
    ],
    format: Format = "html",
) -> Response:
    """Returns one report of several experiments.

    Tables with the same name and the same columns are merged, and so are the default tables.
    """
    return _answer(store, [experiment_of(each, store) for each in dict.fromkeys(experiment)], format)


def _answer(store: Store, experiments: Sequence[Experiment], format: FormatName) -> Response:
    from orchestrator.report import build  # loads jinja2 and matplotlib: not at the API's start
    from orchestrator.report.formats import FORMATS

    chosen = FORMATS[format]
    name = experiments[0].name if len(experiments) == 1 else "report"
    headers = dict(_HEADERS)
    if format not in ("html", "json"):
        headers["Content-Disposition"] = f'attachment; filename="{name}.{chosen.suffix}"'
    return Response(chosen.render(build(store, experiments)), media_type=chosen.media_type, headers=headers)
