"""Tests what a driver and its workers refuse, and how they end. Calls of Ray are replaced in this process."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from orchestrator.cluster.mailbox import EpochDone, GenerationDone, Mailbox, Resumed, SegmentFailed, SlotLost, SlotReady
from orchestrator.cluster.payloads import Task
from orchestrator.cluster.train_worker import serve
from orchestrator.driver import __main__
from orchestrator.driver.attempt import load
from orchestrator.driver.reports import WorkerReports
from orchestrator.plan import Segment, segments
from orchestrator.settings import Settings
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import epoch_row, node, planned, resolved, small
from tests.trainer.packages import METHOD, answer, offer

WRONG = Task("{}", 0, ("a",), None, None, "/storage")
"""A task that fails in every worker, because its spec has no method."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The database of an installation in a temporary folder."""
    monkeypatch.setenv("RELEARN_HOME", str(tmp_path))
    opened = Store(Settings.from_environment().database_url)
    yield opened
    opened.close()


def test_an_experiment_that_was_posted_under_other_code_fails_with_user_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code is part of a content key. The keys of another seed take the place of those of other code."""
    experiment, _ = store.submit("small", resolved(small()), planned(small(seeds=[1])))
    assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(sys, "argv", ["driver", experiment, "1"])
    with pytest.raises(ValueError, match="the code has changed since the experiment was posted"):
        __main__.main()
    row = store.experiment(experiment)
    assert row is not None
    assert (row.state, row.reason, row.attempt) == ("FAILED", "USER_ERROR", 1)
    assert (row.message or "").endswith("so its work has other keys: post it again")


def test_an_experiment_that_was_posted_under_this_code_is_loaded(store: Store) -> None:
    experiment, _ = store.submit("small", resolved(small()), planned(small()))
    assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
    load(Settings.from_environment(), experiment, 1)
    with pytest.raises(ValueError, match="there is no experiment 'exp_gone' in the database"):
        load(Settings.from_environment(), "exp_gone", 1)


def test_a_resume_that_is_not_bitwise_is_stored_as_a_warning_of_the_next_epoch(store: Store) -> None:
    experiment, _ = store.submit("small", resolved(small()), planned(small()))
    assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
    attempt = load(Settings.from_environment(), experiment, 1)
    key = node(attempt.plan, "normal", 0).key
    rows = [{name: value for name, value in epoch_row(key, epoch).items() if name != "key"} for epoch in range(3)]
    reports = WorkerReports(attempt)
    for message in (
        EpochDone(key, rows[0]),
        Resumed(key, 1, bitwise=True),
        EpochDone(key, rows[1]),
        Resumed(key, 2, bitwise=False),
        EpochDone(key, rows[2]),
    ):
        reports.take(message)
    warning = "resumed after epoch 2 with other threads, device or torch: not bit for bit"
    assert {(row.epoch, *row.warnings) for row in store.warnings_of(experiment)} == {(2, warning)}


def test_the_segment_of_a_lost_slot_fails_from_its_first_generation_that_is_not_done(store: Store) -> None:
    experiment, _ = store.submit("small", resolved(small()), planned(small()))
    assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
    attempt = load(Settings.from_environment(), experiment, 1)
    chain = tuple(node(attempt.plan, "normal", generation).key for generation in (0, 1))
    assert attempt.ledger.claim_all(chain)
    reports = WorkerReports(attempt)
    reports.take(GenerationDone(chain[0], "0" * 64))
    reports.take(SlotLost(0, None, "it was waiting"))
    assert dict(attempt.ledger.failed) == {}
    task = Task("{}", 0, chain, None, None, "/storage")
    reports.take(SlotLost(1, task, "ray.exceptions: the node is gone"))
    assert attempt.ledger.failed[chain[1]] == "WORKER_LOST"
    assert chain[0] in attempt.ledger.done
    assert store.nodes_of(experiment)[chain[1]].message == "ray.exceptions: the node is gone"


def keys(segment: Segment) -> list[str]:
    """Returns the keys of the segment's nodes."""
    return [node.key for node in segment.nodes]


def test_two_experiments_that_need_each_others_failed_work_do_not_wait_for_each_other(store: Store) -> None:
    """One trains seed 0, the other seed 1, and both diverge.

    Each can then claim and fail the rest of the other's seed.
    """
    raw = small(seeds=[0, 1], evaluations=[])
    both = []
    for _ in range(2):
        experiment, _ = store.submit("small", resolved(raw), planned(raw))
        assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
        both.append(load(Settings.from_environment(), experiment, 1))
    for attempt, seed in zip(both, (0, 1), strict=True):
        chain = [each for each in segments(attempt.plan, set(attempt.plan.nodes)) if each.nodes[0].seed == seed]
        assert all(attempt.ledger.claim_all(keys(each)) for each in chain)
        attempt.ledger.fail_first([chain[0].nodes[0].key], Reason.DIVERGED, "the loss became nan")
    for attempt, seed in zip(both, (1, 0), strict=True):
        for each in segments(attempt.plan, set(attempt.plan.nodes)):
            if each.nodes[0].seed == seed:
                assert attempt.ledger.claim_all(keys(each))
                attempt.ledger.put_back(keys(each))


def test_a_segment_is_claimed_completely_or_not_at_all(store: Store) -> None:
    raw = small(arms=small()["arms"][:1], train=small()["train"] | {"generations": 3}, evaluations=[])
    both = []
    for _ in range(2):
        experiment, _ = store.submit("small", resolved(raw), planned(raw))
        assert store.start_attempt(experiment, ExperimentState.STARTING) == 1
        both.append(load(Settings.from_environment(), experiment, 1))
    (segment,) = segments(both[0].plan, set(both[0].plan.nodes))
    last = segment.nodes[-1].key
    assert both[0].ledger.claim(last)
    assert not both[1].ledger.claim_all(keys(segment))
    states = {key: row.state for key, row in store.nodes_of(both[1].experiment).items()}
    assert [key for key, state in states.items() if state == "RUNNING"] == [last]


RUN_UNDER = """
import json, sys
import ray.train.torch, torch
from orchestrator.cluster.payloads import Task
from orchestrator.cluster.train_worker import run_segment
from trainer import methods

ray.train.torch.get_device = lambda: torch.device("cpu")  # the original only works inside a Ray Train run
spec = json.dumps({
    "data": {"name": "digits-noisy", "train_per_class": 1}, "model": {"name": "resnet-digits", "width": 4},
    "train": {"generations": 1, "epochs": 1}, "method": {"name": "halving"}, "seed": 0,
})
found = []
for code in (methods.PLUGINS["halving"].code_sha256, "0" * 64, None):
    try:
        run_segment(Task(spec, 0, ("a",), None, code, sys.argv[1]), None, 30.0)
        found.append("trained")
    except ValueError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def test_a_machine_with_other_code_of_a_package_than_the_head_trains_nothing(tmp_path: Path) -> None:
    offer(tmp_path, "half-life", METHOD, "halving = half_life:Halving")
    refused = "this machine has other code of half-life than the head: install the same version on all machines"
    assert answer(tmp_path, RUN_UNDER, str(tmp_path)) == ["trained", refused, refused]


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A real mailbox in this process with one task. Its handle replaces that of Ray's actor."""
    with asyncio.Runner() as runner:
        mailbox = Mailbox()
        runner.run(mailbox.offer([WRONG]))
        runner.run(mailbox.close())

        class Handle:
            def __getattr__(self, name: str) -> Any:
                return SimpleNamespace(remote=lambda *arguments: runner.run(getattr(mailbox, name)(*arguments)))

        monkeypatch.setattr(ray, "get_actor", lambda _: Handle())
        monkeypatch.setattr(ray, "get", lambda result: result)
        yield mailbox


@pytest.fixture
def first_of_two() -> Iterator[None]:
    """Makes this process the first of two workers. The second is never needed before the error."""
    distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield
    distributed.destroy_process_group()


CONFIG = {"mailbox": "mailbox", "slot": 0, "threads": 1, "checkpoint_every_s": 30.0}


def drained(mailbox: Mailbox) -> list[Any]:
    """Returns the messages that the workers have posted."""
    with asyncio.Runner() as runner:
        return runner.run(mailbox.drain(0.01))


def test_a_single_worker_reports_an_error_and_takes_the_next_task(mailbox: Mailbox) -> None:
    serve(CONFIG)
    ready, failed = drained(mailbox)
    assert ready == SlotReady(0)
    assert (failed.task, failed.reason) == (WRONG, "USER_ERROR")
    assert "method\n  Field required" in failed.message


@pytest.mark.usefixtures("first_of_two")
def test_the_first_of_several_workers_reports_an_error_and_raises_it_so_that_all_restart(mailbox: Mailbox) -> None:
    """The others may wait for it inside the task. The slot has finished the task, so no worker gets it again."""
    with pytest.raises(ValueError, match="Field required"):
        serve(CONFIG)
    assert [type(message) for message in drained(mailbox)] == [SlotReady, SegmentFailed]
    serve(CONFIG)
    assert drained(mailbox) == [SlotReady(0)]
