"""A checkpoint is complete or it is refused."""

import json
import os
from pathlib import Path

import pytest
import torch

from tests.trainer.builders import begin, small_spec
from trainer import loop
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint

PRINT = fingerprint(torch.device("cpu"))


def saved(path: Path) -> Path:
    one = small_spec({"name": "normal"})
    state, dataset = begin(one)
    next(loop.train(one, state, dataset))
    checkpoint.save(path, state, "key-1", PRINT)
    return path


def test_a_saved_state_comes_back_whole(tmp_path: Path) -> None:
    one = small_spec({"name": "normal"})
    state, dataset = begin(one)
    next(loop.train(one, state, dataset))
    manifest = checkpoint.save(tmp_path / "c", state, "key-1", PRINT)
    other, _ = begin(one)
    assert checkpoint.load(tmp_path / "c", other) == manifest
    assert (other.generation, other.epoch, other.seed, other.history) == (0, 1, 7, state.history)
    assert other.momentum.keys() == state.momentum.keys() != set()
    assert all(torch.equal(other.momentum[name], state.momentum[name]) for name in state.momentum)
    assert checkpoint.weights_digest(other.model.state_dict()) == manifest.weights_sha256
    assert checkpoint.load_history(tmp_path / "c") == state.history


def test_the_digest_sees_one_flipped_bit_and_a_renamed_tensor() -> None:
    tensors = {"a": torch.zeros(3), "b": torch.ones(2)}
    digest = checkpoint.weights_digest(tensors)
    assert digest == checkpoint.weights_digest({"b": torch.ones(2), "a": torch.zeros(3)})
    assert digest != checkpoint.weights_digest({"a": torch.tensor([0.0, 0.0, -0.0]), "b": torch.ones(2)})
    assert digest != checkpoint.weights_digest({"a": torch.zeros(3), "c": torch.ones(2)})


@pytest.mark.parametrize(
    "damage", ["truncate", "flip", "empty", "no_state", "no_manifest", "manifest_garbage", "other_format"]
)
def test_a_damaged_checkpoint_is_refused_and_leaves_the_state_alone(tmp_path: Path, damage: str) -> None:
    directory = saved(tmp_path / "c")
    state_file, manifest_file = directory / "state.pt", directory / "manifest.json"
    payload = bytearray(state_file.read_bytes())
    match damage:
        case "truncate":
            state_file.write_bytes(payload[: len(payload) // 2])
        case "flip":
            payload[len(payload) // 2] ^= 1
            state_file.write_bytes(payload)
        case "empty":
            state_file.write_bytes(b"")
        case "no_state":
            state_file.unlink()
        case "no_manifest":
            manifest_file.unlink()
        case "manifest_garbage":
            manifest_file.write_text('{"key": 1')
        case "other_format":
            manifest_file.write_text(json.dumps(json.loads(manifest_file.read_text()) | {"format": 99}))
    state, _ = begin(small_spec({"name": "normal"}))
    before = checkpoint.weights_digest(state.model.state_dict())
    with pytest.raises(checkpoint.BadCheckpoint):
        checkpoint.load(directory, state)
    assert checkpoint.weights_digest(state.model.state_dict()) == before
    assert state.epoch == 0


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "canary"),)

    directory = saved(tmp_path / "c")
    torch.save({"model": Evil()}, directory / "state.pt")
    fields = json.loads((directory / "manifest.json").read_text())
    import hashlib

    fields["sha256"] = hashlib.sha256((directory / "state.pt").read_bytes()).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(fields))
    state, _ = begin(small_spec({"name": "normal"}))
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoint.load(directory, state)
    assert not (tmp_path / "canary").exists()


def test_saving_over_an_old_checkpoint_replaces_it(tmp_path: Path) -> None:
    directory = saved(tmp_path / "c")
    state, _ = begin(small_spec({"name": "normal"}))
    state.epoch = 3
    checkpoint.save(directory, state, "key-2", PRINT)
    assert checkpoint.read_manifest(directory).key == "key-2"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_saving_removes_what_a_killed_process_left_of_the_same_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".c.123.partial").mkdir()
    (tmp_path / ".c.123.partial" / "state.pt").write_bytes(b"torn")
    (tmp_path / ".d.123.partial").mkdir()
    saved(tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".d.123.partial", "c"]
