"""The storage's folders, by the names that installations have on disk."""

import subprocess
import sys
from pathlib import Path

from orchestrator.checkpoints.finished import finished
from orchestrator.checkpoints.folders import Folders
from tests.trainer.builders import CPU, begin, small_spec
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint


def test_folders_have_the_names_that_installations_have_on_disk() -> None:
    folders = Folders(Path("/storage"))
    assert folders.checkpoint("k") == Path("/storage/checkpoints/k")
    assert folders.progress("k") == Path("/storage/progress/k")
    assert folders.fetched("k") == Path("/storage/fetched/k")
    assert folders.working_copies("k") == (folders.checkpoint("k"), folders.progress("k"), folders.fetched("k"))
    assert [folders.features, folders.ray, folders.removed] == [
        Path("/storage/features"), Path("/storage/ray"), Path("/storage/removed")
    ]  # fmt: skip


def test_the_folders_and_the_mailbox_are_imported_without_torch_and_ray() -> None:
    """The mailbox's process starts at once because of that."""
    code = (
        "import sys, orchestrator.checkpoints.folders, orchestrator.cluster.mailbox; "
        "print(sorted({'torch', 'ray'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_a_checkpoint_is_finished_when_it_is_whole_and_its_own(tmp_path: Path) -> None:
    folders, now = Folders(tmp_path), fingerprint(CPU)
    state, _ = begin(small_spec({"name": "normal"}, generations=1, epochs=1))
    checkpoint.save(folders.checkpoint("a"), state, "a", now)
    checkpoint.save(folders.checkpoint("b"), state, "a", now)
    checkpoint.save(folders.checkpoint("c"), state, "c", now)
    (folders.checkpoint("c") / "state.pt").write_bytes(b"torn")
    found = {key: finished(folders, key) for key in "abcd"}
    assert found["a"] is not None
    assert found["a"].key == "a"
    assert [found[key] for key in "bcd"] == [None, None, None]
