"""A run that dies before, during or after any disk operation and is started again ends with the same bits.

`python -m tests.trainer.test_failpoints` tries every failpoint of every method and prints how many ended otherwise.
"""

import json
import random
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from tests.trainer.builders import CPU, EVERY_METHOD, label, small_spec
from trainer.core import checkpoint
from trainer.core.disk import DISK, Disk
from trainer.run import run
from trainer.spec import TrainSpec

THOROUGHLY = ("seal ascent_scale=0.5", "born-again", "imp rewind_epoch=1 ranking=global")
"""The runs whose failpoints are all tested. Of each other run every 9th failpoint is tested, with varying offsets."""


class Killed(BaseException):
    """Simulates SIGKILL: nothing catches it, and no code cleans up after it."""


@dataclass
class DyingDisk(Disk):
    """A disk that dies before its operation number `last`, counted from 0, or in the middle of it if `halfway` is set.

    It never dies if `last` is None.
    """

    last: int | None = None
    halfway: bool = False
    done: list[tuple[str, bool]] = field(default_factory=list)
    """What was done, and whether it has a middle."""

    def _operation(self, name: str, half: Callable[[], None] | None = None) -> None:
        if len(self.done) == self.last:
            if self.halfway and half is not None:
                half()
            raise Killed
        self.done.append((name, half is not None))

    def write(self, path: Path, payload: bytes) -> None:
        whole = super().write
        self._operation(f"write {path.parent.name}/{path.name}", lambda: whole(path, payload[: len(payload) // 2]))
        whole(path, payload)

    def rename(self, old: Path, new: Path) -> None:
        """Renames atomically, so there is no middle to die in."""
        self._operation(f"rename {old.name} to {new.name}")
        super().rename(old, new)

    def sync(self, directory: Path) -> None:
        """Does nothing, because a killed process loses no unsynced data; only a crash of the machine would."""

    def remove(self, directory: Path) -> None:
        self._operation(f"remove {directory.name}", (lambda: _remove_half(directory)) if directory.exists() else None)
        super().remove(directory)


@dataclass(frozen=True)
class Failpoint:
    last: int
    halfway: bool
    name: str


def _remove_half(directory: Path) -> None:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    for path in files[: (len(files) + 1) // 2]:
        path.unlink()


def two_generations(method: dict[str, Any]) -> TrainSpec:
    """A step an epoch; SEAL dies in the middle of its ascent, at the switch and after it."""
    epochs, ascent = (3, {"ascent_epochs": 2}) if label(method) in THOROUGHLY and method["name"] == "seal" else (2, {})
    return small_spec(method | ascent, generations=2, epochs=epochs, batch_size=40, precision="fp32")


Trace = dict[tuple[int, int], str]
"""The digest of the saved state after each epoch: weights, momentum, memory, teacher, counters and rows."""


def trace(one: TrainSpec, out: Path, disk: Disk = DISK) -> Generator[tuple[tuple[int, int], str], None, None]:
    for row in run(one, CPU, out, every_s=0, disk=disk):
        yield (row.generation, row.epoch), newest(out)


def newest(out: Path) -> str:
    """Returns the digest of the furthest checkpoint, of a finished generation or of the progress after it."""
    folders = [*out.glob("g000[01]"), *out.glob("progress/g000[01]-e00000[0-9]")]
    folder = max(folders, key=lambda path: (path.name[:5], path.parent == out, path.name))
    state = torch.load(folder / checkpoint.STATE, weights_only=True)
    parts = {part: state.pop(part) or {} for part in ("model", "momentum", "memory", "teacher")}
    tensors = {f"{part}/{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
    return f"{checkpoint.weights_digest(tensors)} {json.dumps(state, sort_keys=True)}"


def undisturbed(one: TrainSpec, out: Path) -> Trace:
    return dict(trace(one, out))


def dies(one: TrainSpec, out: Path, disk: DyingDisk) -> bool:
    try:
        for _ in run(one, CPU, out, every_s=0, disk=disk):
            pass
    except Killed:
        return True
    return False


def mismatches(one: TrainSpec, out: Path, expected: Trace) -> list[str]:
    """What differs from the undisturbed run when what a death left in `out` is trained to the end."""
    found = [f"epoch {at}" for at, now in trace(one, out) if now != expected[at]]
    if newest(out) != expected[max(expected)]:
        found.append("the end")
    return found


def failpoints(one: TrainSpec) -> list[Failpoint]:
    """Before every disk operation of a run, and in the middle of those that have one."""
    disk = DyingDisk()
    with TemporaryDirectory() as folder:
        assert not dies(one, Path(folder), disk)
    return [
        Failpoint(index, halfway, name)
        for index, (name, has_middle) in enumerate(disk.done)
        for halfway in ([False, True] if has_middle else [False])
    ]


def try_failpoints(one: TrainSpec, points: list[Failpoint]) -> list[str]:
    """Where a run that died at one of `points` ended otherwise than one that was left alone."""
    wrong = []
    with TemporaryDirectory() as folder:
        root = Path(folder)
        expected = undisturbed(one, root / "whole")
        for point in points:
            assert dies(one, root / "out", DyingDisk(point.last, point.halfway))
            wrong += [f"{point}: {each}" for each in mismatches(one, root / "out", expected)]
            shutil.rmtree(root / "out")
    return wrong


@pytest.mark.parametrize("method", EVERY_METHOD, ids=label)
def test_a_death_at_any_disk_operation_changes_no_bit(method: dict[str, Any]) -> None:
    one, position = two_generations(method), EVERY_METHOD.index(method)
    points = failpoints(one)
    assert len(points) == (40 if one.train.epochs == 3 else 28)
    tried = points if label(method) in THOROUGHLY else points[position % 9 :: 9]
    wrong = try_failpoints(one, tried)
    print(f"{label(method)}: {len(tried)} failpoints tried, {len(wrong)} ended otherwise")
    assert wrong == []


def test_a_death_while_an_old_checkpoint_is_removed_changes_no_bit() -> None:
    """The third checkpoint of a generation removes the first."""
    one = small_spec({"name": "normal"}, generations=1, epochs=4, batch_size=40, precision="fp32")
    points = [point for point in failpoints(one) if point.name == "remove g0000-e000001"]
    assert [point.halfway for point in points] == [False, False, True]
    assert try_failpoints(one, points) == []


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_deaths_in_a_row_even_while_recovering_change_no_bit(seed: int, tmp_path: Path) -> None:
    one = two_generations({"name": "seal", "ascent_scale": 0.5, "variant": "reinit"})
    expected = undisturbed(one, tmp_path / "whole")
    drawn, deaths = random.Random(seed), 0
    while dies(one, tmp_path / "out", DyingDisk(drawn.randint(0, 11), drawn.random() < 0.7)):
        deaths += 1
        assert deaths < 200
    assert deaths > 2
    assert newest(tmp_path / "out") == expected[1, 1]


@pytest.mark.parametrize(
    ("damage", "stop", "name"),
    [
        ("truncated", 5, "progress/g0001-e000002"),
        ("flipped", 5, "progress/g0001-e000002"),
        ("emptied", 5, "progress/g0001-e000002"),
        ("no state", 5, "progress/g0001-e000002"),
        ("no manifest", 5, "progress/g0001-e000002"),
        ("torn manifest", 5, "progress/g0001-e000002"),
        ("missing", 5, "progress/g0001-e000002"),
        ("truncated", 2, "progress/g0000-e000002"),
        ("no manifest", 2, "progress/g0000-e000002"),
        ("flipped", 3, "g0000"),
        ("missing", 3, "g0000"),
    ],
)
def test_a_damaged_newest_checkpoint_is_set_aside_and_the_one_before_it_used(
    damage: str, stop: int, name: str, tmp_path: Path
) -> None:
    one = small_spec({"name": "born-again"}, generations=2, epochs=3, batch_size=40, precision="fp32")
    expected = undisturbed(one, tmp_path / "whole")
    out = tmp_path / "out"
    running = trace(one, out)
    for _ in range(stop):
        next(running)
    running.close()
    state, manifest = out / name / checkpoint.STATE, out / name / checkpoint.MANIFEST
    payload = bytearray(state.read_bytes())
    match damage:
        case "truncated":
            state.write_bytes(payload[: len(payload) // 2])
        case "flipped":
            payload[len(payload) // 2] ^= 1
            state.write_bytes(payload)
        case "emptied":
            state.write_bytes(b"")
        case "no state":
            state.unlink()
        case "no manifest":
            manifest.unlink()
        case "torn manifest":
            manifest.write_bytes(manifest.read_bytes()[:40])
        case "missing":
            shutil.rmtree(out / name)
    resumed = trace(one, out)
    at, now = next(resumed)
    assert at == {2: (0, 1), 3: (0, 0), 5: (1, 1)}[stop]
    assert now == expected[at]
    assert (out / f"{name}.bad").exists() == (damage != "missing")
    assert {at: now, **dict(resumed)} == {key: value for key, value in expected.items() if key >= at}


def test_a_whole_run_leaves_only_its_generations(tmp_path: Path) -> None:
    one = two_generations({"name": "normal"})
    assert dies(one, tmp_path, DyingDisk(8))
    undisturbed(one, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g0000", "g0001"]
    assert list(run(one, CPU, tmp_path, every_s=0)) == []


def main() -> None:
    torch.set_num_threads(1)
    tried, bad = 0, 0
    for method in EVERY_METHOD:
        one = two_generations(method)
        points = failpoints(one)
        wrong = try_failpoints(one, points)
        tried, bad = tried + len(points), bad + len(wrong)
        print(f"{len(points):5} tried  {len(wrong):5} ended otherwise  {label(method)}", *wrong, sep="\n  ", flush=True)
    print(f"{tried:5} tried  {bad:5} ended otherwise")


if __name__ == "__main__":
    main()
