"""The tables of the command line: results, a search, and the catalogue."""

import io
import json
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import evaluators
from api.cli import tables
from api.cli.tables import TRIALS_SHOWN, results_table, search_table, without_given_up
from tests.trainer.packages import answer


def score(arm: str, generation: int, value: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "generation": generation,
        "value": value,
        "low": None,
        "high": None,
        "n": 896,
    }
    row |= {"evaluator": "accuracy", "dataset": "digits", "metric": "top1"} | more
    return row | evaluators.about(row["evaluator"], row["metric"]).as_json()


def printed(rows: list[dict[str, Any]], everything: bool = False) -> tuple[str, list[list[str]]]:
    """The title of the table, and the cells of each line, beginning with the header."""
    table = tables.results_table(rows, everything)
    title, table.title = str(table.title), None
    console = Console(file=io.StringIO(), width=160, record=True)
    console.print(table)
    lines = [line for line in console.export_text().splitlines() if line.strip() and "───" not in line]
    return title, [re.split(r"\s{2,}", line.strip()) for line in lines]


def test_the_table_has_the_last_generation_beside_the_first() -> None:
    rows = [score("normal", 0, 0.5), score("seal", 0, 0.5), score("normal", 3, 0.75), score("seal", 3, 0.8125)]
    assert printed(rows) == (
        "After generation 3, one seed",
        [["score", "generation 0", "normal", "seal"], ["accuracy digits top1 %", "50.00", "75.00", "81.25"]],
    )


def test_the_table_averages_over_seeds() -> None:
    rows = [score("seal", 0, value, seed) for seed, value in enumerate((0.70, 0.72, 0.77))]
    title, (_, line) = printed(rows)
    assert title == "After generation 0, mean ± SD over 3 seeds"
    assert line == ["accuracy digits top1 %", "73.00 ± 3.61"]


def test_the_table_shows_headlines_or_everything() -> None:
    few_shot: dict[str, Any] = {"evaluator": "few-shot", "dataset": "digits-edges", "metric": "5shot/acc"}
    probe: dict[str, Any] = {"evaluator": "linear-probe", "dataset": "digits-edges"}
    hessian: dict[str, Any] = {"evaluator": "hessian-spectrum", "dataset": "digits"}
    rows = [
        score("seal", 0, 0.5),
        score("seal", 0, 1.25, metric="loss"),
        score("seal", 0, 0.4, **few_shot),
        score("seal", 0, 0.3, **probe, metric="acc"),
        score("seal", 0, 0.2, **probe, metric="lr0.1/acc"),
        score("seal", 0, 1234.25, **hessian, metric="max"),
        score("seal", 0, 3.0, **hessian, metric="top1_mean"),
    ]
    _, lines = printed(rows)
    assert lines[1:] == [
        ["accuracy digits top1 %", "50.00"],
        ["few-shot digits-edges 5shot/acc %", "40.00"],
        ["linear-probe digits-edges acc %", "30.00"],
        ["hessian-spectrum digits max", "1234"],
    ]
    _, lines = printed(rows, everything=True)
    assert len(lines) == 1 + len(rows)
    assert ["accuracy digits loss", "1.25"] in lines
    assert ["hessian-spectrum digits top1_mean", "3.00"] in lines


def test_the_table_omits_or_leaves_empty_what_is_not_measured() -> None:
    """SEAL has no value for the last generation, and Normal's is not a number."""
    rows = [score("normal", 0, 0.5), score("seal", 0, 0.5), score("normal", 1, None)]
    assert printed(rows)[1] == [["score", "generation 0", "normal", "seal"], ["accuracy digits top1 %", "50.00"]]
    assert printed([]) == ("After generation 0, one seed", [["score"]])


def test_generation_0_of_the_table_is_that_of_the_first_arm() -> None:
    rows = [score("normal", 0, 0.25), score("seal", 0, 0.75), score("normal", 1, 0.5), score("seal", 1, 0.5)]
    assert printed(rows)[1][1] == ["accuracy digits top1 %", "25.00", "50.00", "50.00"]


def test_the_last_epoch_is_a_headline_and_the_best_epoch_is_not() -> None:
    training: dict[str, Any] = {"evaluator": "training", "dataset": "digits"}
    selected = {"epoch": 7, "notes": ["best of 9 measured epochs on the test images"]}
    rows = [
        score("seal", 0, 0.5, **training, metric="test_accuracy/last", details={"epoch": 8, "notes": []}),
        score("seal", 0, 0.75, **training, metric="test_accuracy/best", details=selected),
    ]
    assert printed(rows)[1] == [["score", "seal"], ["training digits test_accuracy/last %", "50.00"]]
    assert printed(rows, everything=True)[1] == [
        ["score", "seal"],
        ["training digits test_accuracy/last %", "50.00"],
        ["training digits test_accuracy/best %", "75.00"],
        ["training: best of 9 measured epochs on the"],
        ["test images"],
    ]


def test_the_notes_of_the_scores_shown_are_printed_once_below_them() -> None:
    reduced = {"notes": ["a reduced run [600]", "bf16"]}
    probe: dict[str, Any] = {"evaluator": "linear-probe", "dataset": "digits"}
    rows = [
        score("normal", 0, 0.5, details=reduced),
        score("seal", 0, 0.5, details=reduced),
        score("seal", 0, 0.5, **probe, metric="acc", details={"notes": ["bf16"]}),
        score("seal", 0, 0.5, **probe, metric="acc_heldout", details={"notes": []}),
        score("seal", 0, 0.5, **probe, metric="lr0.1/last", details={"notes": ["not shown"]}),
    ]
    caption = tables.results_table(rows).caption
    assert str(caption) == "accuracy: a reduced run [600]\naccuracy: bf16\nlinear-probe: bf16"
    assert tables.results_table([score("seal", 0, 0.5)]).caption is None


def test_a_problem_is_shown_in_place_of_the_description() -> None:
    entry: dict[str, Any] = {
        "name": "own",
        "package": "mine",
        "version": "1.0",
        "description": "What it does.\n\nAnd how.",
    }
    items = [entry | {"checked": True, "problem": None}, entry | {"checked": False, "problem": "it [never] passed"}]
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(tables.catalogue_table(items))
    rows = [line.split() for line in console.export_text().splitlines() if line.strip().startswith("own")]
    assert rows == [
        ["own", "mine", "1.0", "yes", "What", "it", "does."],
        ["own", "mine", "1.0", "no", "it", "[never]", "passed"],
    ]


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


def printed_search(search: dict[str, Any]) -> list[str]:
    return lines_of(search_table(search))


def lines_of(table: Table) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


def test_trials_are_shown_with_settings_and_their_objective_on_every_rung() -> None:
    best = trial("seal-t01", 0.0123456, {"0": 0.1, "1": 0.5, "3": 0.8125}, kept=True)
    lines = printed_search(
        search(best, trial("seal-t00", 0.5, {"1": None}), trial("seal-t02", 0.5, {}, same_as="seal-t00"))
    )
    assert lines[0] == "Search of seal by accuracy digits.holdout0.2 top1 % (max)"
    assert [line.split() for line in lines if line.startswith(("trial", "seal-"))] == [
        ["trial", "ascent_scale", "variant", "g1", "g3"],
        ["seal-t01", "0.0123456", "descent", "50.00", "81.25", "kept"],
        ["seal-t00", "0.5", "descent", "stopped"],
        ["seal-t02", "0.5", "descent", "same", "as", "seal-t00"],
    ]
    assert "the settings were chosen on these held-out images" in lines


def test_a_long_search_shows_its_best() -> None:
    lines = printed_search(
        search(*(trial(f"seal-t{index:02}", 0.5, {}) for index in range(TRIALS_SHOWN + 3)), metric="loss", mode="min")
        | {"unit": ""}
    )
    assert sum(line.startswith("seal-") for line in lines) == TRIALS_SHOWN
    assert "3 more trials" in lines
    assert lines[0].endswith("loss (min)")


def test_only_the_trials_that_were_kept_are_in_the_table_of_results() -> None:
    rows = [{"arm": arm} for arm in ("normal", "seal-t00", "seal-t01")]
    found = search(trial("seal-t01", 0.5, {}, kept=True), trial("seal-t00", 0.5, {}))
    assert without_given_up(rows, found) == [{"arm": "normal"}, {"arm": "seal-t01"}]
    assert without_given_up(rows, None) == rows


def row(metric: str, value: float, **declared: Any) -> dict[str, Any]:
    measured = {"arm": "seal", "seed": 0, "generation": 0, "evaluator": "ours", "dataset": "digits"}
    return measured | {"metric": metric, "value": value, "details": {}} | declared


def test_scores_are_shown_in_their_unit_and_headlines_alone_unless_all_are_wanted() -> None:
    rows = [
        row("top1", 0.5, unit="share", better="higher", headline=True),
        row("time", 12.0, unit="ms", better="lower", headline=True),
        row("spread", 3.0, unit="", better=None, headline=False),
    ]
    headlines = ["ours digits top1 % 50.00", "ours digits time ms 12.00"]
    found = [" ".join(line.split()) for line in lines_of(results_table(rows))]
    assert [line for line in found if line.startswith("ours")] == headlines
    found = [" ".join(line.split()) for line in lines_of(results_table(rows, everything=True))]
    assert [line for line in found if line.startswith("ours")] == [*headlines, "ours digits spread 3.00"]


def test_rows_of_an_earlier_server_are_all_shown_as_they_are() -> None:
    found = [" ".join(line.split()) for line in lines_of(results_table([row("top1", 0.5), row("spread", 3.0)]))]
    assert [line for line in found if line.startswith("ours")] == ["ours digits top1 0.50", "ours digits spread 3.00"]
    old = {name: part for name, part in search(trial("seal-t00", 0.5, {"1": 0.25})).items() if name != "unit"}
    assert "seal-t00 0.5 descent 0.25 stopped" in [" ".join(line.split()) for line in printed_search(old)]


LIGHT = """
import json
import sys
import api.cli.__main__
from api.cli.tables import results_table, search_table

rows, search = json.loads(sys.argv[1])
results_table(rows, everything=True)
search_table(search)
try:
    api.cli.__main__.main(["results", "--help"])
except SystemExit:
    print(json.dumps([name for name in ("torch", "numpy", "ray", "mlflow", "sqlalchemy") if name in sys.modules]))
"""


def test_the_command_line_shows_results_without_loading_torch(tmp_path: Path) -> None:
    rows = [row("top1", 0.5, unit="share", better="higher", headline=True)]
    assert answer(tmp_path, LIGHT, json.dumps([rows, search(trial("seal-t00", 0.5, {"1": 0.25}))])) == []
