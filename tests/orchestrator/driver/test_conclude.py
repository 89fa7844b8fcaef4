"""The outcome of an attempt gives the first reason of every arm that failed, and none where a failure is excused."""

from pathlib import Path

import pytest

from orchestrator.driver.attempt import Attempt, load
from orchestrator.driver.conclude import conclude
from orchestrator.settings import Settings
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from tests.orchestrator.builders import node, planned, resolved, small

RAW = small(train={"generations": 3, "epochs": 3, "batch_size": 16})


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """The first attempt at an experiment of the arms normal and seal, which share generation 0."""
    monkeypatch.setenv("RELEARN_HOME", str(tmp_path))
    store = Store(Settings.from_environment().database_url)
    experiment, _ = store.submit("small", resolved(RAW), planned(RAW))
    assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
    store.move(experiment, ExperimentState.RUNNING, attempt=1)
    return load(Settings.from_environment(), experiment, 1)


def fail(attempt: Attempt, arm: str, generation: int, message: str) -> set[str]:
    """Fails a generation, and returns its key with those of the nodes that need it."""
    before = set(attempt.ledger.failed)
    key = node(attempt.plan, arm, generation).key
    assert attempt.ledger.claim_all((key,))
    attempt.ledger.fail([key], Reason.DIVERGED, message)
    return set(attempt.ledger.failed) - before


def outcome(attempt: Attempt) -> Experiment:
    row = attempt.store.experiment(attempt.experiment)
    assert row is not None
    return row


def test_the_message_gives_the_first_reason_of_every_arm(attempt: Attempt) -> None:
    fail(attempt, "normal", 1, "the loss became nan in [epoch 2]")
    fail(attempt, "seal", 1, "Traceback (most recent call last):\n  File x\nOSError: no such file")
    conclude(attempt, ())
    row = outcome(attempt)
    assert (row.state, row.reason) == ("FAILED", "DIVERGED")
    reasons = "normal: the loss became nan in [epoch 2]; seal: OSError: no such file"
    count = f"{len(attempt.ledger.failed)} of {len(attempt.plan.nodes)}"
    assert row.message == f"{count} nodes failed or were skipped; the rest is complete; {reasons}"


def test_an_excused_failure_is_no_reason(attempt: Attempt) -> None:
    excused = fail(attempt, "normal", 1, "given up by the search")
    fail(attempt, "seal", 1, "the loss became nan")
    conclude(attempt, excused)
    message = outcome(attempt).message or ""
    assert message.endswith("; seal: the loss became nan")
    assert "given up" not in message


def test_an_attempt_whose_failures_are_all_excused_succeeds(attempt: Attempt) -> None:
    conclude(attempt, fail(attempt, "normal", 1, "given up by the search"))
    assert (outcome(attempt).state, outcome(attempt).message) == ("SUCCEEDED", None)
