"""What a worker that starts again finds on shared storage, and how training slots that are lost are reported."""

from pathlib import Path

from orchestrator.checkpoints.folders import Folders
from orchestrator.cluster.payloads import Task
from orchestrator.cluster.train_worker import finished_of, restore
from tests.trainer.builders import CPU, begin, small_spec
from trainer import loop
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint
from trainer.run import Progress


def test_generations_that_are_whole_are_found_and_torn_or_foreign_ones_are_not(tmp_path: Path) -> None:
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


def test_a_worker_goes_on_from_the_furthest_whole_checkpoint_of_its_own_segment(tmp_path: Path) -> None:
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
