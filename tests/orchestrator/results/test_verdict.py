"""The comparison of two capsules."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.results.capsule import Capsule, Measured
from orchestrator.results.verdict import INTERVAL, MISSING, OTHER_WEIGHTS, SAME_WEIGHTS, UNDEFINED, verdict
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import Clock, claimed, finished, submitted
from tests.orchestrator.results.builders import G0, capsule


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock(1_764_000_000.0))
    yield store
    store.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Store]:
    """A second, empty installation."""
    store = Store(f"sqlite:///{tmp_path / 'elsewhere.db'}", now=Clock(1_764_009_999.0))
    yield store
    store.close()


def changed(original: Capsule, number: int, **values: Any) -> Capsule:
    """Returns a copy of `original` with other values at one of its nodes."""
    nodes = [each.model_copy(update=values) if at == number else each for at, each in enumerate(original.nodes)]
    return original.model_copy(update={"nodes": nodes})


def score(value: float | None, low: float | None = None, high: float | None = None) -> Measured:
    return Measured(value=value, low=low, high=high, n=10)


def test_equal_bits_are_the_same(store: Store, elsewhere: Store) -> None:
    found = verdict(capsule(store, finished(store)), capsule(elsewhere, finished(elsewhere)))
    assert found["verdict"] == "same"
    assert found["nodes"] == {"compared": 5, "anew": 5, "found": 0, "same_work": 0}
    assert found["scores"] == {"compared": 8, "equal": 8, "within": 0, "outside": 0, "rules": {}}
    assert (found["first_outside"], found["first_other_bits"], found["first_other_data"]) == (None, None, None)
    assert found["notes"] == ["5 of 5 nodes were made anew, 0 were found"]


def test_work_that_is_found_again_proves_nothing(store: Store) -> None:
    there = capsule(store, finished(store))
    found = verdict(there, capsule(store, finished(store)))
    assert found["verdict"] == "same"
    assert found["nodes"] == {"compared": 5, "anew": 0, "found": 5, "same_work": 5}
    assert found["notes"][1] == (
        "5 of the nodes found are the very work that the capsule describes, which proves nothing: "
        "check it with a fresh RELEARN_HOME"
    )


def test_work_of_other_experiments_here_is_found_but_is_not_the_same_work(store: Store, elsewhere: Store) -> None:
    there = capsule(store, finished(store))
    finished(elsewhere)
    assert verdict(there, capsule(elsewhere, finished(elsewhere)))["nodes"] == {
        "compared": 5,
        "anew": 0,
        "found": 5,
        "same_work": 0,
    }


def test_scores_whose_noise_overlaps_enough_are_the_same_within_noise(store: Store, elsewhere: Store) -> None:
    """Both intervals are +-0.02, so the joint noise is 0.02 sqrt(2) = 0.02828."""
    there = capsule(store, finished(store))
    found = verdict(there, capsule(elsewhere, finished(elsewhere, normal=0.778, seal=0.722)))
    assert found["verdict"] == "same within noise"
    assert found["scores"] == {"compared": 8, "equal": 6, "within": 2, "outside": 0, "rules": {INTERVAL: 2}}


def test_the_first_node_that_differs_is_named_with_both_values(store: Store, elsewhere: Store) -> None:
    there = capsule(store, finished(store))
    found = verdict(there, capsule(elsewhere, finished(elsewhere, normal=0.779, seal=0.1)))
    assert found["verdict"] == "differs at node normal/seed0/g1/accuracy/digits-noisy"
    assert found["scores"]["outside"] == 2
    assert found["first_outside"] == {
        "node": "normal/seed0/g1/accuracy/digits-noisy",
        "metric": "top1",
        "there": {"value": 0.75, "low": 0.73, "high": 0.77, "n": 896},
        "here": {"value": 0.779, "low": pytest.approx(0.759), "high": pytest.approx(0.799), "n": 896},
        "difference": pytest.approx(0.029),
        "allowed": pytest.approx(0.02 * math.sqrt(2)),
        "rule": INTERVAL,
    }


@pytest.mark.parametrize("state", ["QUEUED", "CANCELLED"])
def test_an_experiment_that_did_not_finish_has_no_verdict_yet(store: Store, elsewhere: Store, state: str) -> None:
    there = capsule(store, finished(store))
    here = submitted(elsewhere)
    if state == "CANCELLED":
        elsewhere.cancel(here)
    found = verdict(there, capsule(elsewhere, here))
    assert (found["verdict"], found["state"]) == ("not finished", state)


def test_failed_nodes_are_missing(store: Store, elsewhere: Store) -> None:
    there = capsule(store, finished(store))
    here = submitted(elsewhere)
    elsewhere.start_attempt(here, ExperimentState.RUNNING)
    elsewhere.fail_node(claimed(elsewhere, G0, here), Reason.DIVERGED, "loss is nan")
    elsewhere.move(here, ExperimentState.FAILED, reason=Reason.DIVERGED)
    found = verdict(there, capsule(elsewhere, here))
    assert found["verdict"] == "differs at node normal/seed0/g0"
    assert (found["first_outside"]["metric"], found["first_outside"]["rule"]) == ("weights", MISSING)
    assert found["scores"]["outside"] == found["scores"]["compared"] == 3 + 8


def test_other_weights_alone_are_noted_but_no_difference(store: Store) -> None:
    there = capsule(store, finished(store))
    found = verdict(there, changed(there, 3, weights_sha256="f" * 64))
    assert (found["verdict"], found["first_other_bits"]) == ("same within noise", "seal/seed0/g1")
    assert (
        "weights differ in their bits, first at seal/seed0/g1; that alone is no difference in result" in found["notes"]
    )


def test_other_data_or_episodes_are_noted(store: Store) -> None:
    there = capsule(store, finished(store))
    found = verdict(there, changed(there, 4, digests={"5shot": "ff"}))
    assert found["first_other_data"] == "seal/seed0/g1/accuracy/digits-noisy"
    assert found["notes"][-1] == "data or episodes have other digests, first at seal/seed0/g1/accuracy/digits-noisy"


def test_other_versions_are_noted(store: Store) -> None:
    there = capsule(store, finished(store))
    here = there.model_copy(update={"versions": there.versions | {"torch": "9.9"}})
    assert verdict(there, here)["notes"][-1] == f"torch is 9.9 here, {there.versions['torch']} there"


def test_under_other_keys_nodes_are_compared_by_title(store: Store) -> None:
    """Two nodes have the same title and are matched by their position."""
    there = capsule(store, finished(store))
    twin = there.nodes[4].model_copy(update={"key": "b" * 64, "results": {"top1": score(0.1)}})
    there = there.model_copy(update={"nodes": [*there.nodes, twin]})
    nodes = [each.model_copy(update={"key": hashlib.sha256(each.key.encode()).hexdigest()}) for each in there.nodes]
    here = there.model_copy(update={"nodes": nodes})
    found = verdict(there, here)
    assert (found["verdict"], found["nodes"]["compared"], found["scores"]["compared"]) == ("same", 6, 9)
    assert found["notes"][2] == (
        "this version gives other keys: the method changed since the capsule was made; nodes are compared by title"
    )
    assert verdict(there, changed(here, 5, results={"top1": score(0.2)}))["verdict"].startswith(
        "differs at node seal/seed0/g1/"
    )


@pytest.mark.parametrize(
    ("there", "here", "same_weights", "inside", "rule"),
    [
        (score(1.0, 0.9, 1.3), score(1.4, 1.0, 1.5), True, True, INTERVAL),  # sqrt(0.3^2 + 0.4^2) = 0.5 >= 0.4
        (score(1.4, 1.0, 1.5), score(1.0, 0.9, 1.3), True, True, INTERVAL),
        (score(1.0, 0.9, 1.3), score(1.51, 1.11, 1.6), True, False, INTERVAL),
        (
            score(1.0, 0.0, 1.1),
            score(1.2, 1.1, 9.0),
            True,
            False,
            INTERVAL,
        ),  # only the sides that face each other count
        (score(1.0, 0.0, 2.0), score(2.4), True, True, INTERVAL),  # sqrt(1 + 1)
        (score(1.0, 0.0, 2.0), score(2.5), True, False, INTERVAL),
        (score(1000.0), score(1001.0), True, True, SAME_WEIGHTS),
        (score(1000.0), score(1002.0), True, False, SAME_WEIGHTS),
        (score(-1000.0), score(-1001.0), True, True, SAME_WEIGHTS),
        (score(10.0), score(5.1), False, True, OTHER_WEIGHTS),
        (score(10.0), score(4.9), False, False, OTHER_WEIGHTS),
        (score(1e-9), score(-1e-9), False, False, OTHER_WEIGHTS),
        (score(None), score(1.0), True, False, UNDEFINED),
        (score(None), score(None), True, True, UNDEFINED),
    ],
)
def test_the_rules(store: Store, there: Measured, here: Measured, same_weights: bool, inside: bool, rule: str) -> None:
    original = capsule(store, finished(store))
    other = {} if same_weights else {"judged_sha256": "f" * 64}
    found = verdict(changed(original, 2, results={"a": there}), changed(original, 2, results={"a": here}, **other))
    assert found["verdict"].startswith("same") is inside
    assert found["scores"]["rules"] == ({} if there == here else {rule: 1})
