"""Every transition is tried in the store and compared with the mappings of permitted transitions."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.states import EXPERIMENT_MOVES, LIVE, NODE_MOVES, TERMINAL, ExperimentState, NodeState, Reason, before
from orchestrator.store import Claim, Store
from tests.orchestrator.builders import Clock, claimed, node, planned, small, submitted

G0 = node(planned(small()), "normal", 0).key


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock())
    yield store
    store.close()


def experiment_in(store: Store, state: ExperimentState) -> str:
    """Returns the id of an experiment that has reached `state` by permitted transitions."""
    experiment = submitted(store)
    if state == ExperimentState.QUEUED:
        return experiment
    store.start_attempt(experiment, ExperimentState.STARTING)
    if state == ExperimentState.STARTING:
        return experiment
    store.move(experiment, ExperimentState.RUNNING, attempt=1)
    if state == ExperimentState.RECOVERING:
        store.start_attempt(experiment, state)
    elif state == ExperimentState.CANCELLING:
        store.cancel(experiment)
    elif state in TERMINAL:
        store.move(experiment, state, reason=Reason.OOM)
    return experiment


def state_of(store: Store, experiment: str) -> ExperimentState:
    found = store.experiment(experiment)
    assert found is not None
    return found.state


@pytest.mark.parametrize("to", ExperimentState)
@pytest.mark.parametrize("start", ExperimentState)
def test_an_experiment_moves_as_the_mapping_permits(store: Store, start: ExperimentState, to: ExperimentState) -> None:
    experiment = experiment_in(store, start)
    assert state_of(store, experiment) == start
    allowed = to in EXPERIMENT_MOVES[start]
    assert store.move(experiment, to) is allowed
    assert state_of(store, experiment) == (to if allowed else start)


@pytest.mark.parametrize("to", [ExperimentState.STARTING, ExperimentState.RECOVERING])
@pytest.mark.parametrize("start", ExperimentState)
def test_an_attempt_starts_only_if_the_mapping_permits_its_state(
    store: Store, start: ExperimentState, to: ExperimentState
) -> None:
    experiment = experiment_in(store, start)
    allowed = to in EXPERIMENT_MOVES[start]
    assert (store.start_attempt(experiment, to) is not None) is allowed
    assert state_of(store, experiment) == (to if allowed else start)


@pytest.mark.parametrize("start", ExperimentState)
def test_a_cancellation_ends_a_queued_experiment_and_marks_a_live_one(store: Store, start: ExperimentState) -> None:
    experiment = experiment_in(store, start)
    store.cancel(experiment)
    found = store.experiment(experiment)
    assert found is not None
    after = {ExperimentState.QUEUED: ExperimentState.CANCELLED} | dict.fromkeys(LIVE, ExperimentState.CANCELLING)
    assert found.state == after.get(start, start)
    assert (found.finished_at is not None) is (found.state in TERMINAL)


def test_terminal_states_are_final_and_a_cancellation_takes_precedence() -> None:
    assert {state for state, following in EXPERIMENT_MOVES.items() if not following} == TERMINAL
    assert EXPERIMENT_MOVES[ExperimentState.CANCELLING] == {ExperimentState.CANCELLED}
    assert before(EXPERIMENT_MOVES, ExperimentState.QUEUED) == set()
    assert EXPERIMENT_MOVES.keys() == set(ExperimentState)
    assert NODE_MOVES.keys() == set(NodeState)


def try_node(store: Store, experiment: str, to: NodeState) -> None:
    """Tries to move node G0 of `experiment` to state `to`."""
    claim = Claim(G0, store.nodes_of(experiment)[G0].fence)
    match to:
        case NodeState.RUNNING:
            store.claim(G0, experiment)
        case NodeState.SUCCEEDED:
            store.finish_generation(claim, "by", "mlflow://a", "0" * 64)
        case NodeState.FAILED:
            store.fail_node(claim, Reason.OOM, "no memory")
        case NodeState.SKIPPED:
            store.release("exp_of_nobody", [G0])
        case NodeState.QUEUED:
            store.put_back([claim])
            store.forget_checkpoints(lambda _: [G0])
            submitted(store)


@pytest.mark.parametrize("to", NodeState)
@pytest.mark.parametrize("start", NodeState)
def test_a_node_moves_as_the_mapping_permits(store: Store, start: NodeState, to: NodeState) -> None:
    experiment = experiment_in(store, ExperimentState.RUNNING)
    if start in (NodeState.SUCCEEDED, NodeState.FAILED):
        claimed(store, G0, experiment)
    if start != NodeState.QUEUED:
        try_node(store, experiment, start)
    assert store.nodes_of(experiment)[G0].state == start
    fence = store.nodes_of(experiment)[G0].fence
    try_node(store, experiment, to)
    found = store.nodes_of(experiment)[G0]
    assert found.state == (to if to in NODE_MOVES[start] else start)
    if to == NodeState.RUNNING:
        assert (found.fence > fence) is (to in NODE_MOVES[start])


def test_the_states_are_imported_without_heavy_packages() -> None:
    """The command line and the client use the states and must start quickly."""
    heavy = "{'sqlalchemy', 'torch', 'pydantic', 'ray', 'mlflow'}"
    code = f"import sys, orchestrator.states; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
