"""Submissions of experiments: the stored plan, cached nodes, idempotency keys, and concurrent submissions."""

import pytest
import sqlalchemy as sa

from orchestrator.states import Reason
from orchestrator.store import KeyReused, Store
from tests.orchestrator.builders import Clock, claimed, planned, resolved, small, submitted
from tests.orchestrator.store.builders import G0, N1, PLAN, at_once, running


def test_a_submitted_experiment_is_queued_with_its_plan_and_nodes(store: Store, clock: Clock) -> None:
    clock.at = 1_764_000_000.0
    experiment, new = store.submit("small", resolved(small()), PLAN)
    row = store.experiment(experiment)
    assert new
    assert row is not None
    assert experiment.startswith("exp_20251124-160000-")
    assert (row.name, row.state, row.attempt, row.created_at) == ("small", "QUEUED", 0, 1_764_000_000.0)
    assert (row.started_at, row.finished_at, row.reason, row.published) == (None, None, None, False)
    assert row.spec == resolved(small())
    assert row.plan == {
        "generation": {"requested": 4, "unique": 3, "cached": 0},
        "evaluation": {"requested": 2, "unique": 2, "cached": 0},
    }
    nodes = store.nodes_of(experiment)
    assert set(nodes) == set(PLAN.nodes)
    assert {each.state for each in nodes.values()} == {"QUEUED"}
    assert sorted((use.arm, use.generation, use.kind, use.cached) for use in store.uses_of(experiment)) == [
        ("normal", 0, "generation", False),
        ("normal", 1, "evaluation", False),
        ("normal", 1, "generation", False),
        ("seal", 0, "generation", False),
        ("seal", 1, "evaluation", False),
        ("seal", 1, "generation", False),
    ]


def test_finished_nodes_are_cached_for_the_next_experiment(store: Store) -> None:
    first = running(store)
    assert store.finish_generation(claimed(store, G0, first), "first/normal/seed0/g0", "mlflow://a", "f" * 64)
    second = submitted(store)
    row = store.experiment(second)
    assert row is not None
    assert row.plan["generation"] == {"requested": 4, "unique": 3, "cached": 1}
    assert {(use.arm, use.generation) for use in store.uses_of(second) if use.cached} == {
        ("normal", 0),
        ("seal", 0),
    }
    assert not any(use.cached for use in store.uses_of(first))
    assert store.nodes_of(second)[G0].checkpoint_uri == "mlflow://a"


def test_a_node_that_failed_before_is_tried_again_by_the_next_experiment(store: Store) -> None:
    first = running(store)
    store.fail_node(claimed(store, G0, first), Reason.OOM, "no memory")
    store.release(first, [N1])
    assert [store.nodes_of(first)[key].state for key in (G0, N1)] == ["FAILED", "SKIPPED"]
    again = store.nodes_of(submitted(store))
    assert [(again[key].state, again[key].reason, again[key].message) for key in (G0, N1)] == [
        ("QUEUED", None, None)
    ] * 2


def test_the_same_key_and_body_are_one_experiment(store: Store) -> None:
    first = store.submit("small", resolved(small()), PLAN, "key", "a" * 64)
    assert first[1] is True
    assert store.submit("small", resolved(small()), PLAN, "key", "a" * 64) == (first[0], False)
    assert len(store.experiments()) == 1


def test_the_same_key_with_another_body_is_refused_and_stores_nothing(store: Store) -> None:
    store.submit("small", resolved(small()), PLAN, "key", "a" * 64)
    with pytest.raises(KeyReused, match="'key' came with another body before"):
        store.submit("small", resolved(small()), PLAN, "key", "b" * 64)
    assert len(store.experiments()) == 1


def test_a_submission_without_a_key_or_with_another_key_is_another_experiment(store: Store) -> None:
    keys = ("one", "two", None, None)
    ids = {store.submit("small", resolved(small()), PLAN, key, "a" * 64)[0] for key in keys}
    assert len(ids) == 4


def test_50_threads_with_one_key_make_one_experiment(store: Store) -> None:
    spec = resolved(small())
    answers = at_once(50, lambda _: store.submit("small", spec, PLAN, "key", "a" * 64))
    assert len({experiment for experiment, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1
    assert len(store.experiments()) == 1


def test_threads_that_submit_the_same_work_at_once_all_succeed(store: Store) -> None:
    spec = resolved(small())
    answers = at_once(16, lambda index: store.submit("small", spec, PLAN, f"key{index}", "a" * 64))
    assert len({experiment for experiment, new in answers if new}) == 16
    assert all(len(store.nodes_of(experiment)) == 5 for experiment, _ in answers)


def test_threads_whose_plans_overlap_all_succeed(store: Store) -> None:
    """Generation 0 is shared by all plans; the other nodes are different."""
    raw = [small(arms=[{"name": "seal", "method": {"name": "seal", "ascent_scale": 1 + index}}]) for index in range(12)]
    ready = [(resolved(each), planned(each)) for each in raw]
    answers = at_once(12, lambda index: store.submit("small", *ready[index]))
    assert len({experiment for experiment, _ in answers}) == 12


def test_a_failed_submission_stores_nothing(store: Store) -> None:
    with pytest.raises((sa.exc.StatementError, TypeError)):
        store.submit("small", {"not": object()}, PLAN)
    assert store.experiments() == []
    assert submitted(store)


def test_evaluations_that_overlap_are_stored_once(store: Store) -> None:
    accuracy = {"evaluator": {"name": "accuracy"}}
    raw = small(evaluations=[accuracy | {"on": ["every"]}, accuracy | {"on": ["last"]}])
    experiment = submitted(store, raw)
    assert sum(use.kind == "evaluation" for use in store.uses_of(experiment)) == 4


def test_the_largest_seed_fits(store: Store) -> None:
    experiment = submitted(store, small(seeds=[2**31]))
    assert {use.seed for use in store.uses_of(experiment)} == {2**31}
