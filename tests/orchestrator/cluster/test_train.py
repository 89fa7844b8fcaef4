"""Tests what a restarted worker finds on shared storage, and how lost training slots are reported."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from orchestrator.checkpoints.folders import Folders
from orchestrator.cluster.mailbox import GenerationDone, Mailbox, SlotLost, SlotReady
from orchestrator.cluster.payloads import Task
from orchestrator.cluster.train import TrainingSlots
from orchestrator.cluster.train_worker import finished_of, restore
from orchestrator.spec import Resources
from tests.trainer.builders import CPU, begin, small_spec
from trainer import loop
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint
from trainer.run import Progress


def test_complete_generations_are_found_and_torn_or_foreign_ones_are_not(tmp_path: Path) -> None:
    one = small_spec({"name": "normal"}, generations=4, epochs=1)
    task = Task(one.model_dump_json(), 0, ("a", "b", "c", "d"), None, None, str(tmp_path))
    assert finished_of(task) == []
    folders = Folders(tmp_path)
    state, dataset = begin(one)
    for row in loop.train(one, state, dataset):
        key = task.keys[row.generation]
        checkpoint.save(folders.checkpoint(key), state, "x" if key == "c" else key, fingerprint(CPU))
    (folders.checkpoint("d") / "state.pt").write_bytes(b"torn")
    assert [(manifest.key, manifest.generation, manifest.epoch) for manifest in finished_of(task)] == [
        ("a", 0, 1),
        ("b", 1, 1),
    ]


def test_a_worker_resumes_from_the_furthest_complete_checkpoint_of_its_own_segment(tmp_path: Path) -> None:
    one = small_spec({"name": "normal"}, generations=2, epochs=4)
    task = Task(one.model_dump_json(), 0, ("a", "b"), None, None, str(tmp_path))
    folders = Folders(tmp_path)
    progress = {key: Progress(folders.progress(key), every_s=0.0) for key in task.keys}

    def found() -> tuple[str, int] | None:
        fresh, _ = begin(one)
        manifest = restore(task, progress.values(), fresh)
        return None if manifest is None else (manifest.key, fresh.epoch)

    assert found() is None
    state, batches = begin(one)
    for row in loop.train(one, state, batches):
        key = task.keys[row.generation]
        if state.epoch == 4:
            checkpoint.save(folders.checkpoint(key), state, key, fingerprint(CPU))
            progress[key].generation_done()
        elif (row.generation, row.epoch) != (1, 2):
            progress[key].epoch_done(state, key, fingerprint(CPU))
            assert found() == (key, row.epoch + 1)
        if (row.generation, row.epoch) == (1, 2):
            break
    assert [folder.name for folder in progress["b"].checkpoints()] == ["g0001-e000001", "g0001-e000002"]
    (progress["b"].checkpoints()[1] / "state.pt").write_bytes(b"torn")
    assert found() == ("b", 1)
    assert [folder.name for folder in progress["b"].checkpoints()] == ["g0001-e000001"]
    (progress["b"].checkpoints()[0] / "manifest.json").unlink()
    assert found() == ("a", 4)


class DoomedSlots(TrainingSlots):
    """Two slots whose runs end with the error that Ray raises when it gives up a run.

    The second ends after the first has ended and `second_may_end` is set.
    """

    second_may_end = threading.Event()

    def _trainer(self, slot: int) -> Any:
        def fit() -> None:
            if slot == 1:
                self.second_may_end.wait()
            raise RuntimeError(f"slot {slot} is gone")

        return SimpleNamespace(fit=fit)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The handle of a real mailbox in this process, which replaces the actor that Ray would create."""
    with asyncio.Runner() as runner:
        local = Mailbox()

        class Handle:
            def __getattr__(self, name: str) -> Any:
                return SimpleNamespace(remote=lambda *arguments: runner.run(getattr(local, name)(*arguments)))

        handle = Handle()
        actor_class = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: handle))
        monkeypatch.setattr(ray, "remote", lambda _: actor_class)
        monkeypatch.setattr(ray, "get", lambda result: result)
        monkeypatch.setattr(ray, "kill", lambda _: None)
        yield handle


def test_lost_slots_are_reported_with_their_task_after_the_generations_that_they_finished(mailbox: Any) -> None:
    slots = DoomedSlots("name", 2, Resources(), Folders(Path("/storage")))
    task = Task("{}", 0, ("a", "b"), None, None, "/storage")
    slots.start()
    slots.offer([task])
    assert mailbox.take.remote(0) == task
    mailbox.post.remote(SlotReady(0))
    mailbox.post.remote(GenerationDone("a", "0"))
    found = list(slots.drain(0.01))
    while len(found) < 3:
        found += slots.drain(0.01)
    assert found == [SlotReady(0), GenerationDone("a", "0"), SlotLost(0, task, "RuntimeError: slot 0 is gone")]
    lost = slots.lost
    assert lost is None  # the second slot may still train
    slots.second_may_end.set()
    while not (found := slots.drain(0.01)):
        pass
    assert found == [SlotLost(1, None, "RuntimeError: slot 1 is gone")]
    assert slots.lost == "RuntimeError: slot 1 is gone"
    slots.close()
