"""Tests the node ledger with attempts at two experiments that share their nodes in one database."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator.driver.ledger import NodeLedger
from orchestrator.plan import Plan
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Claim, Store
from tests.orchestrator.builders import node, planned, resolved, small

RAW = small(train={"generations": 3, "epochs": 3, "batch_size": 16})
PLAN: Plan = planned(RAW)
G0, G1, G2 = (node(PLAN, "normal", generation).key for generation in range(3))
ACCURACY = node(PLAN, "normal", 2, "evaluation").key
SEAL = [node(PLAN, "seal", generation).key for generation in (1, 2)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'relearn.db'}")
    yield opened
    opened.close()


@pytest.fixture
def ledger(store: Store) -> Callable[[], NodeLedger]:
    """Creates the ledger of the first attempt at another experiment with the same spec."""

    def create() -> NodeLedger:
        experiment, _ = store.submit("small", resolved(RAW), PLAN)
        assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
        return NodeLedger(store, PLAN, experiment, 1)

    return create


def states(store: Store) -> dict[str, str]:
    """Returns the state of every node of the newest experiment that is not QUEUED, by key."""
    (*_, row) = store.experiments()
    found = {key: each.state for key, each in store.nodes_of(row.id).items()}
    return {key: state for key, state in found.items() if state != "QUEUED"}


def commits(store: Store) -> Callable[[Claim], bool]:
    """Returns a commit that stores the result of a generation."""
    return lambda claim: store.finish_generation(claim, "exp/g", f"uri:{claim.key}", "0" * 64)


def test_only_the_ledger_claims_puts_back_and_fails_nodes_in_the_store() -> None:
    """Reads the calls in the source of every module of the orchestrator."""
    package = Path(orchestrator.__path__[0])
    found = set()
    for path in package.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            holder = ast.unparse(call.func.value)
            if holder.split(".")[-1].lstrip("_") == "store" and call.func.attr in ("claim", "put_back", "fail_node"):
                found.add(path.relative_to(package).as_posix())
    assert found == {"driver/ledger.py"}


def test_the_views_are_live_and_cannot_be_changed(store: Store, ledger: Callable[[], NodeLedger]) -> None:
    one = ledger()
    done, failed, claimed = one.done, one.failed, one.claimed
    assert one.claim(G0)
    one.finish(G0, commits(store))
    one.claim(G1)
    one.fail([G1], Reason.DIVERGED, "the loss became nan")
    assert (set(done), failed[G1], G1 in claimed) == ({G0}, "DIVERGED", True)
    for view in (done, claimed, one.given_up):
        assert not hasattr(view, "add")
        assert not hasattr(view, "discard")
    with pytest.raises(TypeError):
        failed[G2] = "OOM"  # type: ignore[index]


def test_a_failure_skips_what_needs_the_node_and_puts_its_claims_back(
    store: Store, ledger: Callable[[], NodeLedger]
) -> None:
    one = ledger()
    assert one.claim_all([G0, G1, G2])
    one.finish(G0, commits(store))
    one.fail_first([G0, G1, G2], Reason.DIVERGED, "the loss became nan")
    assert one.failed == {G1: "DIVERGED", G2: "DEPENDENCY", ACCURACY: "DEPENDENCY"}
    assert states(store) == {G0: "SUCCEEDED", G1: "FAILED"}
    other = ledger()
    assert other.claim_all([G1, G2])  # no claim on them is left


def test_a_node_that_is_done_does_not_fail_with_its_parent(store: Store, ledger: Callable[[], NodeLedger]) -> None:
    one = ledger()
    one.claim_all([G0, G1])
    one.finish(G1, commits(store))
    one.fail([G0], Reason.OOM, "out of memory")
    assert one.failed == {G0: "OOM"} | dict.fromkeys([*SEAL, node(PLAN, "seal", 2, "evaluation").key], "DEPENDENCY")


def test_a_segment_that_another_experiment_has_claimed_in_part_is_not_claimed(
    store: Store, ledger: Callable[[], NodeLedger]
) -> None:
    one, other = ledger(), ledger()
    assert other.claim(G1)
    assert not one.claim_all([G0, G1, G2])
    assert states(store) == {G1: "RUNNING"}
    assert (set(one.claimed), set(one.done)) == (set(), set())  # the other experiment has not finished it
    other.put_back([G1])
    assert one.claim_all([G0, G1, G2])


def test_work_under_a_lost_claim_is_not_finished(store: Store, ledger: Callable[[], NodeLedger]) -> None:
    one = ledger()
    one.claim(G0)
    one.put_back([G0])
    one.finish(G0, lambda _: pytest.fail("the claim was put back"))
    assert set(one.done) == set()

    one.claim(G0)
    experiment = store.experiments()[0].id
    assert store.claim(G0, experiment) is not None  # a later attempt does the same
    one.finish(G0, commits(store))
    assert set(one.done) == set()
    assert states(store) == {G0: "RUNNING"}


def test_a_node_is_committed_once(store: Store, ledger: Callable[[], NodeLedger]) -> None:
    one = ledger()
    one.claim(G0)
    one.finish(G0, commits(store))
    one.finish(G0, lambda _: pytest.fail("it is done already"))
    assert states(store) == {G0: "SUCCEEDED"}


def test_a_node_that_another_experiment_finishes_is_noticed(store: Store, ledger: Callable[[], NodeLedger]) -> None:
    one, other = ledger(), ledger()
    assert other.claim_all([G0, G1])
    other.finish(G0, commits(store))
    assert set(one.done) == set()
    one.refresh()
    assert set(one.done) == {G0}
    other.finish(G1, commits(store))
    assert not one.claim(G1)  # a claim notices it without a refresh
    assert set(one.done) == {G0, G1} == one.committed()
    assert one.checkpoint_uri(G1) == f"uri:{G1}"
    assert set(ledger().done) == {G0, G1}  # a later experiment starts with both


def test_nodes_are_given_up_unless_they_are_done_or_failed(store: Store, ledger: Callable[[], NodeLedger]) -> None:
    one = ledger()
    one.claim(G0)
    one.finish(G0, commits(store))
    one.fail([G1], Reason.OOM, "out of memory")
    one.give_up({G0, G1, *SEAL})
    assert one.given_up == set(SEAL)
    one.skip([SEAL[1]])
    assert one.failed[SEAL[1]] == "DEPENDENCY"


def test_a_plan_that_differs_from_the_stored_nodes_is_refused(store: Store) -> None:
    experiment, _ = store.submit("small", resolved(RAW), PLAN)
    with pytest.raises(ValueError, match="its work has other keys: post it again"):
        NodeLedger(store, planned(small(seeds=[1])), experiment, 1)
