"""A search on the command line."""

import io
from typing import Any

from rich.console import Console

from api.cli.search_table import SHOWN, search_table, shown


def trial(name: str, scale: float, scores: dict[str, float | None], **changes: Any) -> dict[str, Any]:
    return {
        "arm": name,
        "settings": {"ascent_scale": scale, "variant": "descent"},
        "state": "STOPPED",
        "kept": False,
        "generations": len(scores),
        "objective": scores,
        "same_as": None,
    } | changes


def search(*trials: dict[str, Any], **objective: Any) -> dict[str, Any]:
    return {
        "arm": "seal",
        "objective": {"evaluator": {"name": "accuracy"}, "metric": "top1", "mode": "max", "on": "heldout"} | objective,
        "dataset": "digits.holdout0.2",
        "rungs": [1, 3],
        "best": None,
        "note": "the settings were chosen on these held-out images",
        "trials": list(trials),
    }


def printed(search: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    console.print(search_table(search))
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


def test_trials_are_shown_with_settings_and_their_objective_on_every_rung() -> None:
    best = trial("seal-t01", 0.0123456, {"0": 0.1, "1": 0.5, "3": 0.8125}, kept=True)
    lines = printed(search(best, trial("seal-t00", 0.5, {"1": None}), trial("seal-t02", 0.5, {}, same_as="seal-t00")))
    assert lines[0] == "Search of seal by accuracy digits.holdout0.2 top1 % (max)"
    assert [line.split() for line in lines if line.startswith(("trial", "seal-"))] == [
        ["trial", "ascent_scale", "variant", "g1", "g3"],
        ["seal-t01", "0.0123456", "descent", "50.00", "81.25", "kept"],
        ["seal-t00", "0.5", "descent", "stopped"],
        ["seal-t02", "0.5", "descent", "as", "seal-t00"],
    ]
    assert "the settings were chosen on these held-out images" in lines


def test_a_long_search_shows_its_best() -> None:
    lines = printed(
        search(*(trial(f"seal-t{index:02}", 0.5, {}) for index in range(SHOWN + 3)), metric="loss", mode="min")
    )
    assert sum(line.startswith("seal-") for line in lines) == SHOWN
    assert "3 more trials" in lines
    assert lines[0].endswith("loss (min)")


def test_of_the_trials_the_best_alone_stand_in_the_table_of_results() -> None:
    rows = [{"arm": arm} for arm in ("normal", "seal-t00", "seal-t01")]
    found = search(trial("seal-t01", 0.5, {}, kept=True), trial("seal-t00", 0.5, {}))
    assert shown(rows, found) == [{"arm": "normal"}, {"arm": "seal-t01"}]
    assert shown(rows, None) == rows
