"""Timing runs for a plan: when one is made, what it times, and what its results are used for."""

import pytest

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.estimate.builders import Cluster, answer, finish


def test_a_timing_run_is_made_once_and_used_again(store: Store) -> None:
    """A step takes 0.1 s, and after every epoch of 3 steps 896 test images take 1 ms each."""
    cluster = Cluster(store)
    assert answer(store, small(evaluations=[]), cluster)["quote"]["partial"]
    timed = answer(store, small(evaluations=[]), cluster, measure=True)["quote"]
    assert len(cluster.requests) == 1
    per_step = 0.1 + 0.001 * 896 / 3
    assert timed["training_hours"]["p50"] == pytest.approx(27 * per_step / 3600, rel=1e-3)
    assert timed["parts"][0]["basis"] == "timing run of 9 blocks on AVX512"
    again = answer(store, small(evaluations=[], seeds=[4]), cluster, measure=False)["quote"]
    assert again["training_hours"] == timed["training_hours"]


def test_the_reason_why_a_timing_run_failed_is_a_warning(store: Store) -> None:
    found = answer(store, small(), Cluster(store, why="the cluster had no capacity for it"), measure=True)
    assert found["quote"]["hours"]["p50"] is None
    assert [each["message"] for each in found["warnings"] if each["code"] == "NOT_TIMED"] == [
        "the timing run is not complete: the cluster had no capacity for it"
    ]


def test_a_run_times_the_kinds_with_the_most_steps(store: Store) -> None:
    sizes = list(range(1, 41))
    arms = [{"name": "normal", "method": {"name": "normal"}, "grid": {"train.batch_size": sizes}}]
    raw = small(arms=arms, train={"generations": 1, "epochs": 1}, evaluations=[])
    cluster = Cluster(store)
    found = answer(store, raw, cluster, measure=True)
    assert sorted(request.spec.train.batch_size for request in cluster.requests)[:13] == list(range(1, 14))
    assert len(cluster.requests) == 32
    assert [each["message"] for each in found["warnings"] if each["code"] == "NOT_TIMED"] == [
        "8 kinds of steps are left out: a timing run covers the 32 kinds with the most steps; repeat the request to "
        "time the others"
    ]
    answer(store, raw, cluster, measure=True)
    assert len({request.key for request in cluster.requests}) == 40


def test_nothing_is_timed_if_nothing_is_to_do(store: Store) -> None:
    store.move(finish(store, small()), ExperimentState.SUCCEEDED)
    cluster = Cluster(store)
    assert answer(store, small(), cluster, measure=True)["quote"]["hours"]["p50"] == 0
    assert cluster.requests == []
