"""The table of a search: its best trials."""

from typing import Any

from api.cli.tables.fitted import Column, Fitted
from api.cli.tables.scores import scale
from orchestrator.numbers import with_half

TRIALS_SHOWN = 20
"""The number of trials in the table of a search; the API returns all of them."""


def search_table(search: dict[str, Any]) -> Fitted:
    """Returns the best trials of a search: settings, objective on every rung, and state."""
    objective = search["objective"]
    evaluator, metric = objective["evaluator"]["name"], objective["metric"]
    factor, unit = scale(search)
    trials, rungs = search["trials"], search["rungs"]
    settings = list(trials[0]["settings"]) if trials else []
    columns = [Column(("trial",)), *(Column((field,), right=True) for field in settings)]
    columns += [Column((f"generation {rung}",), right=True) for rung in rungs]
    lines = []
    for trial in trials[:TRIALS_SHOWN]:
        scores = [trial["objective"].get(str(rung)) for rung in rungs]
        values = [
            trial["arm"],
            *(f"{value:g}" if isinstance(value, float) else str(value) for value in trial["settings"].values()),
            *("" if score is None else with_half(score * factor, None, factor == 100) for score in scores),
            f"same as {trial['same_as']}" if trial["same_as"] else "kept" if trial["kept"] else trial["state"].lower(),
        ]
        lines.append(tuple(values))
    more = [f"{len(trials) - TRIALS_SHOWN} more trials"] if len(trials) > TRIALS_SHOWN else []
    return Fitted(
        columns=(*columns, Column(("state",))),
        lines=tuple(lines),
        title=f"Search of {search['arm']} by {evaluator} {search['dataset']} {metric}{unit} "
        f"({objective['mode']}, mean over seeds)",
        notes=(*more, search["note"]),
    )


def without_given_up(rows: list[dict[str, Any]], search: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the result rows without those of trials that were not kept; `search_table` shows these trials."""
    left_out = {trial["arm"] for trial in search["trials"] if not trial["kept"]} if search is not None else set()
    return [row for row in rows if row["arm"] not in left_out]
