"""The table of a search."""

from typing import Any

from api.cli.tables import TRIALS_SHOWN, search_table, without_given_up
from tests.api.cli.tables.builders import printed


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
        "unit": "share",
        "dataset": "digits.holdout0.2",
        "rungs": [1, 3],
        "best": None,
        "note": "the settings were chosen on these held-out images",
        "trials": list(trials),
    }


def test_trials_are_shown_with_settings_and_their_objective_on_every_rung() -> None:
    best = trial("seal-t01", 0.0123456, {"0": 0.1, "1": 0.5, "3": 0.8125}, kept=True)
    trials = best, trial("seal-t00", 0.5, {"1": None}), trial("seal-t02", 0.5, {}, same_as="seal-t00")
    lines = printed(search_table(search(*trials)))
    assert lines[0] == "Search of seal by accuracy digits.holdout0.2 top1 % (max, mean over seeds)"
    assert [line.split() for line in lines if line.startswith(("trial", "seal-"))] == [
        ["trial", "ascent_scale", "variant", "generation", "1", "generation", "3", "state"],
        ["seal-t01", "0.0123456", "descent", "50.00", "81.25", "kept"],
        ["seal-t00", "0.5", "descent", "stopped"],
        ["seal-t02", "0.5", "descent", "same", "as", "seal-t00"],
    ]
    assert "the settings were chosen on these held-out images" in lines


def test_a_long_search_shows_its_best() -> None:
    trials = (trial(f"seal-t{index:02}", 0.5, {}) for index in range(TRIALS_SHOWN + 3))
    lines = printed(search_table(search(*trials, metric="loss", mode="min") | {"unit": ""}))
    assert sum(line.startswith("seal-") for line in lines) == TRIALS_SHOWN
    assert "3 more trials" in lines
    assert lines[0].endswith("loss (min, mean over seeds)")


def test_only_the_trials_that_were_kept_are_in_the_table_of_results() -> None:
    rows = [{"arm": arm} for arm in ("normal", "seal-t00", "seal-t01")]
    found = search(trial("seal-t01", 0.5, {}, kept=True), trial("seal-t00", 0.5, {}))
    assert without_given_up(rows, found) == [{"arm": "normal"}, {"arm": "seal-t01"}]
    assert without_given_up(rows, None) == rows


def test_a_search_of_an_earlier_server_and_one_without_trials_are_shown() -> None:
    old = {name: part for name, part in search(trial("seal-t00", 0.5, {"1": 0.25})).items() if name != "unit"}
    assert ["seal-t00", "0.5", "descent", "0.2500", "stopped"] in [line.split() for line in printed(search_table(old))]
    assert printed(search_table(search()))[1:] == [
        "trial  generation 1  generation 3  state",
        "the settings were chosen on these held-out images",
    ]


def test_the_trials_of_a_narrow_table_stand_one_below_the_other() -> None:
    kept = trial("seal-t01", 0.0123456, {"1": 0.5, "3": 0.8125}, kept=True)
    assert printed(search_table(search(kept)), 48)[2:9] == [
        "seal-t01",
        "  ascent_scale  0.0123456",
        "  variant         descent",
        "  generation 1      50.00",
        "  generation 3      81.25",
        "  state         kept",
        "the settings were chosen on these held-out",
    ]
