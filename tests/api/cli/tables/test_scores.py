"""Result rows by score, and measurements that two evaluators repeat."""

from typing import Any

import pytest

from api.cli.tables.scores import STANDS_IN, Row, scores_of, without_repeats
from tests.api.cli.tables.builders import score

TRAINED: dict[str, Any] = {"evaluator": "training", "metric": "test_accuracy/last"}


def kept(*rows: Row) -> list[tuple[str, int, float | None]]:
    return [(row["evaluator"], row["generation"], row["value"]) for row in without_repeats(rows)]


def test_what_training_and_the_evaluator_measured_is_kept_once() -> None:
    rows = [score("seal", 0, 0.5, **TRAINED), score("seal", 1, 0.75, **TRAINED), score("seal", 1, 0.75)]
    assert kept(*rows) == [("accuracy", 0, 0.5), ("accuracy", 1, 0.75)]
    assert [row["details"] for row in without_repeats(rows) if "details" in row] == [{"notes": [STANDS_IN]}]


def test_training_does_not_stand_in_for_an_evaluation_that_disagrees_with_it() -> None:
    """The evaluator measured another network, such as an average of weights."""
    rows = [score("seal", 0, 0.5, **TRAINED), score("seal", 1, 0.75, **TRAINED), score("seal", 1, 0.8)]
    assert kept(*rows) == [("training", 0, 0.5), ("accuracy", 1, 0.8)]


@pytest.mark.parametrize("change", [{"dataset": "other"}, {"seed": 1}, {"arm": "llf"}])
def test_other_images_seeds_and_arms_are_no_repetition(change: dict[str, Any]) -> None:
    rows = [score("seal", 1, 0.75, **TRAINED), score("seal", 1, 0.75) | change]
    assert kept(*rows) == [("training", 1, 0.75), ("accuracy", 1, 0.75)]


def test_the_best_epoch_is_no_repetition() -> None:
    best = score("seal", 1, 0.75, evaluator="training", metric="test_accuracy/best")
    assert kept(best, score("seal", 1, 0.75)) == [("training", 1, 0.75), ("accuracy", 1, 0.75)]


def test_two_diverged_measurements_agree() -> None:
    rows = [score("seal", 0, 0.5, **TRAINED), score("seal", 1, None, **TRAINED), score("seal", 1, None)]
    assert kept(*rows) == [("accuracy", 0, 0.5), ("accuracy", 1, None)]


def test_scores_under_several_settings_are_separate_and_named_by_what_differs() -> None:
    few: dict[str, Any] = {"evaluator": "few-shot", "metric": "5shot/acc", "dataset": "eurosat"}
    rows = [
        score("seal", 0, lr, seed, **few, details={"settings": {"lr": lr, "ways": 5, "head": "svm"}})
        for seed in (0, 1)
        for lr in (0.1, 0.5)
    ]
    found = scores_of(rows)
    assert [each.heading for each in found] == ["few-shot eurosat (lr 0.1)", "few-shot eurosat (lr 0.5)"]
    assert [[row["value"] for row in each.rows["seal"][0]] for each in found] == [[0.1, 0.1], [0.5, 0.5]]


def test_rows_without_details_do_not_split_a_score() -> None:
    """They are of a version that did not store them."""
    rows = [score("seal", 0, 0.5), score("seal", 0, 0.6, 1, details={"settings": {"batch_size": 64}})]
    assert [(each.heading, each.label) for each in scores_of(rows)] == [("accuracy digits", "top1 %")]
