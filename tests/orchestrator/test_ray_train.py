"""What a worker that starts again finds on shared storage."""

from pathlib import Path

from orchestrator.ray_board import Task, checkpoint_folder
from orchestrator.ray_train import finished
from tests.trainer.small import CPU, begin, small_spec
from trainer import loop
from trainer.core import checkpoint
from trainer.core.fingerprint import fingerprint


def test_generations_that_are_whole_are_found_and_torn_or_foreign_ones_are_not(tmp_path: Path) -> None:
    one = small_spec({"name": "normal"}, generations=4, epochs=1)
    task = Task(one.model_dump_json(), 0, ("a", "b", "c", "d"), None, str(tmp_path))
    assert finished(task) == []
    state, dataset = begin(one)
    for row in loop.train(one, state, dataset):
        key = task.keys[row.generation]
        checkpoint.save(checkpoint_folder(tmp_path, key), state, "x" if key == "c" else key, fingerprint(CPU))
    (checkpoint_folder(tmp_path, "d") / "state.pt").write_bytes(b"torn")
    assert [(manifest.key, manifest.generation, manifest.epoch) for manifest in finished(task)] == [("a", 0, 1), ("b", 1, 1)]
