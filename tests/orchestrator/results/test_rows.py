"""The scores of an experiment as rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import results
from orchestrator.results.rows import _tested
from orchestrator.store import Store
from tests.orchestrator.builders import Clock, claimed, epoch_row, node, planned, small, submitted
from tests.orchestrator.results.builders import G0, HASH, S1, row, running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=clock)
    yield store
    store.close()


def test_rows_are_tidy_and_a_shared_score_is_in_the_rows_of_each_arm(store: Store) -> None:
    raw = small(evaluations=[{"evaluator": {"name": "accuracy"}, "on": ["every"]}])
    plan = planned(raw)
    experiment = submitted(store, raw)
    about = {"evaluator": "accuracy", "version": 1, "settings": {}, "notes": ["a reduced run"]}
    for arm, generation, value, details in (("normal", 0, 0.5, about), ("seal", 1, 0.75, None)):
        key = node(plan, arm, generation, "evaluation").key
        score = {"top1": {"value": value, "n": 896, "low": value - 0.25, "high": None}}
        store.finish_evaluation(claimed(store, key, experiment), "by", "accuracy", "digits-noisy", score, {}, details)
    common: dict[str, Any] = {
        "seed": 0,
        "evaluator": "accuracy",
        "dataset": "digits-noisy",
        "metric": "top1",
        "high": None,
        "n": 896,
        "unit": "share",
        "better": "higher",
        "headline": True,
        "n_of": "images",
        "generations": 2,
    }
    g0, g1 = (node(plan, arm, generation, "evaluation").key for arm, generation in (("normal", 0), ("seal", 1)))
    common["made_by"] = "by"
    assert list(results.result_rows(store, row(store, experiment))) == [
        {"arm": "normal", "generation": 0, "value": 0.5, "low": 0.25, **common, "details": about, "node": g0},
        {"arm": "seal", "generation": 0, "value": 0.5, "low": 0.25, **common, "details": about, "node": g0},
        {"arm": "seal", "generation": 1, "value": 0.75, "low": 0.5, **common, "details": {}, "node": g1},
    ]


def test_the_last_and_the_best_epoch_of_each_committed_generation_are_separate(store: Store) -> None:
    """The second epoch was not measured. 672 of 896 images are correct in the best two, of which the first counts."""
    experiment = running(store)

    def measure(key: str, generation: int, *accuracies: float | None) -> None:
        metrics: list[dict[str, float]] = [{} if each is None else {"test/accuracy": each} for each in accuracies]
        store.add_epochs([epoch_row(key, epoch, generation, metrics=each) for epoch, each in enumerate(metrics)])

    measure(G0, 0, 0.75, None, 0.75, 0.5)
    measure(S1, 1, 0.25, None, 0.125)
    store.finish_generation(claimed(store, G0, experiment), "by", "mlflow://a", HASH)
    common = {"seed": 0, "generation": 0, "evaluator": "training", "dataset": "digits-noisy", "n": 896}
    common |= {"unit": "share", "better": "higher", "n_of": "images", "generations": 2}
    last = common | {
        "metric": "test_accuracy/last",
        "value": 0.5,
        "details": {"epoch": 3, "notes": []},
        "headline": True,
    }
    note = "best of 3 measured epochs on the test images"
    best = common | {"metric": "test_accuracy/best", "value": 0.75, "details": {"epoch": 0, "notes": [note]}}
    best |= {"headline": False}
    rows = list(results.result_rows(store, row(store, experiment)))
    bounds = [(each.pop("low"), each.pop("high")) for each in rows]
    assert {(each.pop("node"), each.pop("made_by")) for each in rows} == {(G0, "by")}
    assert rows == [{"arm": arm} | each for arm in ("normal", "seal") for each in (last, best)]
    # Wilson's bounds for 448 and 672 of 896, from its formula
    assert bounds == [pytest.approx((0.467330, 0.532670), abs=1e-6), pytest.approx((0.720620, 0.777245), abs=1e-6)] * 2

    store.finish_generation(claimed(store, S1, experiment), "by", "mlflow://b", HASH)
    rows = list(results.result_rows(store, row(store, experiment)))
    found = {
        (each["arm"], each["generation"], each["metric"]): (each["value"], each["details"]["epoch"]) for each in rows
    }
    assert found == {
        ("normal", 0, "test_accuracy/last"): (0.5, 3),
        ("normal", 0, "test_accuracy/best"): (0.75, 0),
        ("seal", 0, "test_accuracy/last"): (0.5, 3),
        ("seal", 0, "test_accuracy/best"): (0.75, 0),
        ("seal", 1, "test_accuracy/last"): (0.125, 2),
        ("seal", 1, "test_accuracy/best"): (0.25, 0),
    }


def test_data_that_is_not_prepared_has_an_unknown_number_of_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path))
    assert _tested({"name": "tiny-imagenet", "recipe": "probe-64"}) == ("tiny-imagenet.probe-64", None)
    assert _tested({"name": "digits", "of_later_code": 1}) == ("digits", None)
    assert _tested({"name": "digits-0-4"}) == ("digits-0-4", 449)


def test_rows_have_the_number_of_generations_of_their_arm_and_a_checkpoint_has_none(store: Store) -> None:
    short = {"generations": 1, "epochs": 3, "batch_size": 16}
    arms: list[dict[str, Any]] = [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "short", "method": {"name": "normal"}, "train": short},
        {"name": "theirs", "checkpoint": {"uri": "https://example.org/weights.pt", "sha256": HASH}},
    ]
    raw = small(arms=arms)
    experiment, plan = submitted(store, raw), planned(raw)
    for each in plan.nodes.values():
        if each.kind == "evaluation":
            score = {"top1": {"value": 0.5, "n": 896, "low": None, "high": None}}
            store.finish_evaluation(
                claimed(store, each.key, experiment), "by", "accuracy", "digits-noisy", score, {}, None
            )
    rows = results.result_rows(store, row(store, experiment))
    assert [(each["arm"], each["generation"], each["generations"]) for each in rows] == [
        ("normal", 1, 2),
        ("short", 0, 1),
        ("theirs", 0, None),
    ]
