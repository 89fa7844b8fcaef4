"""The table of results."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from api.cli.tables import results_table
from tests.api.cli.tables.builders import cells, printed, score
from tests.trainer.packages import answer

HEADLESS: dict[str, Any] = {"arm": "seal", "seed": 0, "generation": 0, "evaluator": "ours", "dataset": "digits"}
FEW_SHOT: dict[str, Any] = {"evaluator": "few-shot", "dataset": "digits-edges", "metric": "5shot/acc", "n": 60}
PROBE: dict[str, Any] = {"evaluator": "linear-probe", "dataset": "digits-edges"}
TRAINED: dict[str, Any] = {"evaluator": "training", "metric": "test_accuracy/last"}


def row(metric: str, value: float, **declared: Any) -> dict[str, Any]:
    return HEADLESS | {"metric": metric, "value": value, "details": {}} | declared


def test_the_table_has_the_last_generation_beside_the_first() -> None:
    rows = [score("normal", 0, 0.5), score("seal", 0, 0.5), score("normal", 3, 0.75), score("seal", 3, 0.8125)]
    assert printed(results_table(rows)) == [
        "After generation 3 (0 is the first network), one seed",
        "          generation 0  normal   seal",
        "accuracy digits (896 images)",
        "  top1 %         50.00   75.00  81.25",
    ]


def test_the_table_averages_over_seeds_and_says_what_stands_behind_the_mean() -> None:
    rows = [score("seal", 0, value, seed) for seed, value in enumerate((0.70, 0.72, 0.77))]
    title, _, _, line, note = printed(results_table(rows))
    assert title == "After generation 0, mean ± SD over 3 seeds"
    assert line.split() == ["top1", "%", "73.00", "±", "3.61"]
    assert note == "SD: sample standard deviation over the seeds; `relearn report` has 95 % intervals"


def test_the_title_has_the_number_of_the_last_generation_where_rows_have_it() -> None:
    title, *_ = printed(results_table([score("seal", 3, 0.5, generations=6), score("llf", 3, 0.5, generations=6)]))
    assert title == "After generation 3 of 5 (0 is the first network), one seed"


def test_every_arm_has_its_own_last_generation_and_says_which() -> None:
    """Normal has six generations, one other arm has three, and one has failed after two of six."""
    ends = {"normal": (5, 6), "short": (2, 3), "failed": (1, 6)}
    rows = [score(arm, 0, 0.5, generations=total, node="g0") for arm, (_, total) in ends.items()]
    rows += [score(arm, last, 0.5 + last / 10, generations=total) for arm, (last, total) in ends.items()]
    assert printed(results_table(rows)) == [
        "After the last evaluated generation of each arm (0 is the first network), one seed",
        "          generation 0             normal              short             failed",
        "                        generation 5 of 5  generation 2 of 2  generation 1 of 5",
        "accuracy digits (896 images)",
        "  top1 %         50.00             100.00              70.00              60.00",
    ]


def test_a_checkpoint_has_its_generation_and_is_said_to_be_one() -> None:
    rows = [score("normal", g, 0.5 + g / 8, generations=3, node=str(g)) for g in (0, 2)]
    rows.append(score("theirs", 0, 0.9, generations=None, node="other"))
    lines = printed(results_table(rows))
    assert [line.split() for line in lines[1:3]] == [
        ["generation", "0", "normal", "theirs"],
        ["of", "normal", "generation", "2", "of", "2", "generation", "0"],
    ]
    assert lines[4].split() == ["top1", "%", "50.00", "75.00", "90.00"]
    assert lines[-1] == "theirs: a checkpoint that was not trained in this experiment"


def test_an_arm_that_is_still_trained_shows_what_was_measured_so_far() -> None:
    """Normal is evaluated; SEAL has only the test accuracy of its second generation, which is not evaluated."""
    rows = [score("normal", 5, 0.75, generations=6), score("seal", 1, 0.5, generations=6, **TRAINED)]
    assert cells(results_table(rows))[1:] == [
        ["normal", "seal"],
        ["generation", "5", "of", "5", "generation", "1", "of", "5"],
        ["accuracy", "digits", "(896", "images)"],
        ["top1", "%", "75.00", "-"],
        ["training", "digits", "(896", "images)"],
        ["test_accuracy/last", "%", "-", "50.00"],
        ["-:", "not", "measured"],
    ]


def test_a_score_of_an_earlier_generation_says_so() -> None:
    """Few-shot accuracy was evaluated after generation 1 only."""
    rows = [score("seal", 3, 0.5), score("seal", 1, 0.25, **FEW_SHOT)]
    assert ["5shot/acc", "%", "25.00", "(generation", "1)"] in cells(results_table(rows))


def test_cells_with_other_numbers_of_seeds_say_so() -> None:
    rows = [score("seal", 1, value, seed) for seed, value in enumerate((0.70, 0.72, 0.77))]
    rows += [score("llf", 1, 0.5, 0), score("llf", 1, 0.6, 1), score("theirs", 1, 0.9)]
    assert cells(results_table(rows))[3] == [
        *("top1", "%", "73.00", "±", "3.61", "55.00", "±", "7.07", "(2", "seeds)", "90.00", "(1", "seed)"),
    ]


def test_a_score_that_is_no_number_does_not_give_way_to_an_earlier_one() -> None:
    rows = [score("seal", 0, 0.5), score("seal", 1, None), score("llf", 1, 0.75), score("llf", 1, None, 1)]
    assert cells(results_table(rows))[4] == [
        *("top1", "%", "50.00", "(1", "of", "1", "not", "finite)", "75.00", "(1", "of", "2", "not", "finite)"),
    ]


def test_nothing_measured_is_said() -> None:
    assert printed(results_table([])) == ["Nothing was measured yet."]


def test_generation_0_is_shown_once_only_for_arms_that_share_it() -> None:
    rows = [score(arm, 0, 0.5, node=node) for arm, node in (("normal", "a"), ("seal", "a"), ("wide", "b"))]
    rows += [score(arm, 2, 0.75) for arm in ("normal", "seal", "wide")]
    lines = printed(results_table(rows))
    assert lines[1:3] == [
        "             generation 0  normal   seal  generation 0   wide",
        "          of normal, seal                      of wide",
    ]
    assert lines[4].split() == ["top1", "%", "50.00", "75.00", "75.00", "50.00", "75.00"]
    assert lines[-1] == "generation 0 is the same network for normal, seal"


def test_equal_scores_of_other_networks_are_not_one_generation_0() -> None:
    rows = [score(arm, 0, 0.5, node=arm) for arm in ("normal", "wide")] + [score("normal", 1, 1), score("wide", 1, 1)]
    assert printed(results_table(rows))[2].split() == ["of", "normal", "of", "wide"]


def test_the_table_shows_headlines_or_everything() -> None:
    hessian: dict[str, Any] = {"evaluator": "hessian-spectrum", "dataset": "digits", "n": 8}
    rows = [
        score("seal", 0, 0.5),
        score("seal", 0, 1.25, metric="loss"),
        score("seal", 0, 0.4, **FEW_SHOT),
        score("seal", 0, 0.3, **PROBE, metric="acc"),
        score("seal", 0, 0.2, **PROBE, metric="lr0.1/acc"),
        score("seal", 0, 1234.25, **hessian, metric="max"),
        score("seal", 0, 3.0, **hessian, metric="top1_mean"),
    ]
    assert printed(results_table(rows))[2:] == [
        "accuracy digits (896 images)",
        "  top1 %         50.00",
        "few-shot digits-edges (60 episodes)",
        "  5shot/acc %    40.00",
        "linear-probe digits-edges (896 images)",
        "  acc %          30.00",
        "hessian-spectrum digits (8 batches)",
        "  max          1234.25",
    ]
    everything = cells(results_table(rows, everything=True))
    assert len(everything) == 2 + len(rows) + 5  # the probe's rate is of an unknown n
    assert ["loss", "1.25"] in everything
    assert ["top1_mean", "3.00"] in everything


def test_the_last_epoch_and_the_accuracy_of_one_network_appear_once() -> None:
    best: dict[str, Any] = {"evaluator": "training", "metric": "test_accuracy/best"}
    selected = {"epoch": 7, "notes": ["best of 9 measured epochs on the test images"]}
    rows = [
        score("seal", 0, 0.5, **TRAINED),
        score("seal", 1, 0.625, **TRAINED),
        score("seal", 1, 0.75, **best, details=selected),
        score("seal", 1, 0.625),
    ]
    assert printed(results_table(rows))[1:] == [
        "          generation 0   seal",
        "accuracy digits (896 images)",
        "  top1 %         50.00  62.50",
        "accuracy: where it was not evaluated, the test accuracy of the generation's last epoch",
    ]
    assert printed(results_table(rows, everything=True))[2:] == [
        "training digits (896 images)",
        "  test_accuracy/last %         50.00  62.50",
        "  test_accuracy/best %             -  75.00",
        "accuracy digits (896 images)",
        "  top1 %                           -  62.50",
        "-: not measured",
        "training: best of 9 measured epochs on the test images",
    ]


def test_with_one_seed_few_shot_scores_have_their_interval_over_episodes() -> None:
    rows = [score("seal", 0, 0.5, **FEW_SHOT, low=0.47, high=0.53), score("seal", 0, 0.9, low=0.8, high=0.95)]
    lines = printed(results_table(rows))
    assert lines[3].split() == ["5shot/acc", "%", "50.00", "±", "3.00"]
    assert lines[5].split() == ["top1", "%", "90.00"]
    assert lines[-1] == "few-shot: ± is half of the 95 % interval over 60 episodes"


def test_with_several_seeds_the_interval_over_episodes_stands_below() -> None:
    rows = [score("seal", 0, 0.5 + seed / 10, seed, **FEW_SHOT, low=0.3, high=0.34 + seed / 50) for seed in (0, 1)]
    lines = printed(results_table(rows))
    assert lines[3].split() == ["5shot/acc", "%", "55.00", "±", "7.07"]
    assert lines[-1] == "few-shot: the 95 % interval of one network over its 60 episodes is ± 2.00 to 3.00"


def test_the_number_of_images_is_shown_also_where_arms_have_different_ones() -> None:
    rows = [score("seal", 0, 0.5, n=448), score("llf", 0, 0.5, n=10_000), row("top1", 0.5, n=7), row("spread", 1.0)]
    lines = printed(results_table(rows))
    assert [line for line in lines if not line.startswith(" ")][1:4] == [
        "accuracy digits (448 to 10,000 images)",
        "ours digits (n = 7)",
        "ours digits",
    ]


def test_the_notes_of_the_scores_shown_are_printed_once_below_them() -> None:
    reduced = {"notes": ["a reduced run [600]", "bf16"]}
    rows = [
        score("normal", 0, 0.5, details=reduced),
        score("seal", 0, 0.5, details=reduced),
        score("seal", 0, 0.5, **PROBE, metric="acc", details={"notes": ["bf16"]}),
        score("seal", 0, 0.5, **PROBE, metric="acc_heldout", details={"notes": []}),
        score("seal", 0, 0.5, **PROBE, metric="lr0.1/last", details={"notes": ["not shown"]}),
    ]
    notes = ("-: not measured", "accuracy: a reduced run [600]", "accuracy: bf16", "linear-probe: bf16")
    assert results_table(rows).notes == notes
    assert results_table([score("seal", 0, 0.5)]).notes == ()


def test_scores_are_shown_in_their_unit_and_headlines_alone_unless_all_are_wanted() -> None:
    rows = [
        row("top1", 0.5, unit="share", better="higher", headline=True),
        row("time", 12.0, unit="ms", better="lower", headline=True),
        row("spread", 0.0312, unit="", better=None, headline=False),
    ]
    headlines = [["ours", "digits"], ["top1", "%", "50.00"], ["time", "ms", "12.00"]]
    assert cells(results_table(rows))[2:] == headlines
    assert cells(results_table(rows, everything=True))[2:] == [*headlines, ["spread", "0.0312"]]


def test_rows_of_an_earlier_server_are_all_shown_as_they_are() -> None:
    assert cells(results_table([row("top1", 0.5), row("spread", 3.0)]))[3:] == [["top1", "0.5000"], ["spread", "3.00"]]


NAMES = st.text(alphabet="abcdefgh-_.", min_size=1, max_size=70)


@settings(deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=40, unique=True), NAMES, NAMES, st.integers(40, 200), st.data())
def test_every_number_is_whole_at_any_width(
    arms: list[str], dataset: str, metric: str, width: int, data: st.DataObject
) -> None:
    """Arms of any number and length, with their own last generations, data of any name, one seed or several."""
    seeds = data.draw(st.integers(1, 3))
    rows, expected = [], set()
    for arm in arms:
        for generation in {0, data.draw(st.integers(0, 4))}:
            share = data.draw(st.integers(1, 10_000)) / 10_000
            where = {"dataset": dataset, "generations": 5}
            for seed in range(seeds):
                rows.append(score(arm, generation, share, seed, **where))
                rows.append(
                    score(arm, generation, -1e5 * share, seed, **where, evaluator="unknown", metric=f"{metric}?")
                )
            expected |= {f"{100 * share:.2f}", f"{-1e5 * share:.2f}"}
    lines = printed(results_table(rows), width)
    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert expected <= set(" ".join(lines).split())


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
    found: dict[str, Any] = {
        "arm": "seal",
        "objective": {"evaluator": {"name": "accuracy"}, "metric": "top1", "mode": "max"},
    }
    found |= {"dataset": "digits", "rungs": [1], "note": "a note", "trials": []}
    assert answer(tmp_path, LIGHT, json.dumps([rows, found])) == []
