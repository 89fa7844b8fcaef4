"""Nodes in the store: claims, fencing, failures and releases."""

import pytest

from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import Clock, claimed, planned, small, submitted
from tests.orchestrator.store.builders import G0, N1, N1_ACCURACY, S1, at_once, running, state


def test_a_claimed_node_can_be_finished(store: Store, clock: Clock) -> None:
    experiment = running(store)
    clock.at = 5.0
    claim = claimed(store, G0, experiment)
    clock.at = 9.0
    assert store.nodes_of(experiment)[G0].state == "RUNNING"
    assert store.finish_generation(claim, "by", "mlflow://a", "0" * 64) is True
    row = store.nodes_of(experiment)[G0]
    assert (row.state, row.owner, row.made_by) == ("SUCCEEDED", experiment, "by")
    assert (row.checkpoint_uri, row.weights_sha256) == ("mlflow://a", "0" * 64)
    assert (row.started_at, row.finished_at) == (5.0, 9.0)


def test_a_second_claim_replaces_the_first(store: Store) -> None:
    experiment = running(store)
    first, second = claimed(store, G0, experiment), claimed(store, G0, experiment)
    assert second.fence > first.fence
    assert store.finish_generation(first, "old", "mlflow://old", "0" * 64) is False
    assert store.fail_node(first, Reason.OOM, "old") is False
    assert store.nodes_of(experiment)[G0].state == "RUNNING"
    assert store.finish_generation(second, "new", "mlflow://new", "1" * 64) is True
    assert store.finish_generation(first, "old", "mlflow://old", "0" * 64) is False
    assert store.nodes_of(experiment)[G0].checkpoint_uri == "mlflow://new"


def test_a_finished_node_cannot_be_claimed_or_finished_again(store: Store) -> None:
    first, second = running(store), running(store)
    claim = claimed(store, G0, first)
    store.finish_generation(claim, "by", "mlflow://a", "0" * 64)
    assert store.claim(G0, first) is None
    assert store.claim(G0, second) is None
    assert store.finish_generation(claim, "again", "mlflow://b", "1" * 64) is False
    assert store.fail_node(claim, Reason.OOM, "late") is False
    assert store.nodes_of(first)[G0].checkpoint_uri == "mlflow://a"


def test_a_node_that_does_not_exist_cannot_be_claimed(store: Store) -> None:
    assert store.claim("0" * 64, running(store)) is None


@pytest.mark.parametrize(
    "owner_state",
    [ExperimentState.STARTING, ExperimentState.RUNNING, ExperimentState.RECOVERING, ExperimentState.CANCELLING],
)
def test_a_node_of_a_live_experiment_cannot_be_claimed_by_another(store: Store, owner_state: ExperimentState) -> None:
    owner, other = running(store), running(store)
    claim = claimed(store, G0, owner)
    store.move(owner, owner_state)
    assert state(store, owner) == owner_state
    assert store.claim(G0, other) is None
    assert store.claim(N1, other) is not None
    assert store.finish_generation(claim, "owner", "mlflow://a", "0" * 64) is True


@pytest.mark.parametrize("end", [ExperimentState.FAILED, ExperimentState.CANCELLED])
def test_an_unfinished_node_of_an_ended_experiment_can_be_claimed(store: Store, end: ExperimentState) -> None:
    owner, other = running(store), running(store)
    lost = claimed(store, G0, owner)
    store.move(owner, end)
    claim = claimed(store, G0, other)
    assert store.finish_generation(lost, "owner", "mlflow://lost", "0" * 64) is False
    assert store.finish_generation(claim, "other", "mlflow://kept", "1" * 64) is True


def test_only_one_of_several_experiments_gets_a_claim(store: Store) -> None:
    experiments = [running(store) for _ in range(8)]
    claims = at_once(8, lambda index: store.claim(G0, experiments[index]))
    assert sum(claim is not None for claim in claims) == 1


def test_threads_that_claim_for_one_experiment_get_different_fences(store: Store) -> None:
    experiment = running(store)
    claims = at_once(8, lambda _: claimed(store, G0, experiment))
    assert sorted(claim.fence for claim in claims) == list(range(1, 9))
    done = [claim.fence for claim in claims if store.finish_generation(claim, "by", "mlflow://a", "0" * 64)]
    assert done == [8]


def test_a_failed_node_has_a_reason_until_it_is_claimed_again(store: Store) -> None:
    experiment = running(store)
    assert store.fail_node(claimed(store, G0, experiment), Reason.DIVERGED, "x" * 10_000) is True
    row = store.nodes_of(experiment)[G0]
    assert (row.state, row.reason, row.message) == ("FAILED", "DIVERGED", "x" * 4000)
    claimed(store, G0, experiment)
    row = store.nodes_of(experiment)[G0]
    assert (row.state, row.reason, row.message, row.finished_at) == ("RUNNING", None, None, None)


def test_release_requeues_unfinished_nodes_and_invalidates_their_claims(store: Store) -> None:
    experiment, other = running(store), running(store)
    done, unfinished = claimed(store, G0, experiment), claimed(store, N1, experiment)
    theirs = claimed(store, S1, other)
    store.finish_generation(done, "by", "mlflow://a", "0" * 64)
    store.release(experiment, [N1_ACCURACY, S1, G0])
    nodes = store.nodes_of(experiment)
    assert {key: nodes[key].state for key in (G0, N1, S1, N1_ACCURACY)} == {
        G0: "SUCCEEDED",
        N1: "QUEUED",
        S1: "RUNNING",
        N1_ACCURACY: "SKIPPED",
    }
    assert (nodes[N1].owner, nodes[N1_ACCURACY].reason) == (None, "DEPENDENCY")
    assert store.finish_generation(unfinished, "late", "mlflow://b", "1" * 64) is False
    assert store.finish_generation(theirs, "other", "mlflow://c", "2" * 64) is True


def test_nodes_are_needed_by_others_until_those_have_ended(store: Store) -> None:
    mine, other = submitted(store), submitted(store)
    assert store.needed_by_others(mine) == set(planned(small()).nodes)
    store.cancel(other)
    assert store.needed_by_others(mine) == set()
