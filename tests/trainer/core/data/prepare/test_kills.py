"""Kills a preparing process by SIGKILL at every step: the remains never count as a cache, and the next run succeeds."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.core.data.builders import CLASSES, PX, pixels
from trainer.core.data import cache
from trainer.core.data.errors import DataProblem
from trainer.core.data.manifest import Manifest
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import ListedSplit, Listing
from trainer.core.disk import Disk

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.trainer.core.data.prepare.test_kills"])
RECIPE = Recipe(PX, resize="none")
ROWS = 70
OPERATIONS = 10
"""The least number of disk operations in one preparation."""


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class DyingDisk(Disk):
    """Kills its process before operation number `last`, or in the middle of it where it has one."""

    last: int
    halfway: bool = False
    done: int = 0

    def _operation(self, half: Callable[[], object] | None = None) -> None:
        if self.done == self.last:
            if self.halfway and half is not None:
                half()
            killed()
        self.done += 1

    def write(self, path: Path, payload: bytes) -> None:
        self._operation(lambda: path.write_bytes(payload[: len(payload) // 2]))
        super().write(path, payload)

    def rename(self, old: Path, new: Path) -> None:
        self._operation()
        super().rename(old, new)

    def sync(self, directory: Path) -> None:
        self._operation()

    def remove(self, directory: Path) -> None:
        if directory.exists():
            self._operation(lambda: next(path for path in directory.rglob("*") if path.is_file()).unlink())
        super().remove(directory)


def arrays(dies_at: str = "", shift: int = 0) -> Listing:
    """Rows `shift` and on, whose reader kills the process when it decodes item `dies_at`, after it was digested."""
    digested: set[str] = set()

    def read(item: str) -> Any:
        if item == dies_at and item in digested:
            killed()
        digested.add(item)
        return pixels(int(item))

    items = tuple(str(row + shift) for row in range(ROWS))
    labels = tuple(row % 2 for row in range(ROWS))
    splits = {"train": ListedSplit(items[:50], labels[:50]), "test": ListedSplit(items[50:], labels[50:])}
    return Listing(
        "arrays",
        Path("/"),
        CLASSES,
        CLASSES,
        splits,
        read=read,
    )


def child(root: Path, shift: int, dies_at: str, disk: Disk, out: Connection) -> None:
    out.send(prepare("toy", root, root, RECIPE, listing=arrays(dies_at, shift), disk=disk, clock=lambda: 0.0))


def limited(root: Path, out: Connection) -> None:
    """Under a limit of file sizes, which is as good as a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        prepare("toy", root, root, RECIPE, listing=arrays())
    except DataProblem as problem:
        out.send(str(problem))


def start(target: Callable[..., None], *arguments: object) -> tuple[Any, Connection]:
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    there.close()
    return process, here


def ran(root: Path, shift: int = 0, dies_at: str = "", disk: Disk | None = None) -> Manifest | None:
    """Returns what the child made, or None if it was killed."""
    process, out = start(child, root, shift, dies_at, disk or Disk())
    process.join()
    if process.exitcode == 0:
        made: Manifest = out.recv()
        return made
    assert process.exitcode == -signal.SIGKILL
    return None


def again(root: Path, shift: int = 0) -> Manifest:
    """The next run, in this process, which leaves nothing of the killed one."""
    made = prepare("toy", root, root, RECIPE, listing=arrays("", shift), clock=lambda: 0.0)
    assert {path.name for path in (root / "toy").iterdir()} <= {RECIPE.folder, f".{RECIPE.folder}.lock"}
    return made


def whole(root: Path) -> Manifest | None:
    """The manifest of the cache that is found, after a look at every byte."""
    directory = cache.find(root, "toy", RECIPE)
    if directory is None:
        return None
    assert cache.verify(directory, read=arrays().read).rows == 32
    return cache.open_cache(directory).manifest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Manifest]:
    """Returns the manifests of the rows as they are and of the rows shifted by one."""
    root = tmp_path_factory.mktemp("whole")
    first, second = (
        prepare("toy", root, root / f"{s}", RECIPE, listing=arrays("", s), clock=lambda: 0.0) for s in (0, 1)
    )
    return first, second


@pytest.mark.parametrize("halfway", [False, True])
def test_killed_at_any_operation_it_leaves_no_cache_and_the_next_run_is_whole(
    halfway: bool, tmp_path: Path, undisturbed: tuple[Manifest, Manifest]
) -> None:
    expected = undisturbed[0]
    for last in range(100):
        root = tmp_path / f"{last}"
        if ran(root, disk=DyingDisk(last, halfway)) is not None:
            break
        assert whole(root) in (None, expected)
        assert again(root) == expected == whole(root)
    assert last >= OPERATIONS


def test_killed_while_replacing_it_leaves_the_old_cache_the_new_one_or_none(
    tmp_path: Path, undisturbed: tuple[Manifest, Manifest]
) -> None:
    old, new = undisturbed
    seen = []
    for last in range(OPERATIONS - 2, 100):
        root = tmp_path / f"{last}"
        again(root)
        if ran(root, shift=1, disk=DyingDisk(last, halfway=True)) is not None:
            break
        seen.append(whole(root))
        assert again(root, shift=1) == new == whole(root)
    assert [each for each in (old, None, new) if each in seen] == [old, None, new]
    assert all(each in (old, None, new) for each in seen)


@pytest.mark.parametrize("item", ["0", "33", "49", "50", "69"])
def test_killed_while_it_decodes_it_leaves_no_cache(
    item: str, tmp_path: Path, undisturbed: tuple[Manifest, Manifest]
) -> None:
    assert ran(tmp_path, dies_at=item) is None
    assert any(path.name.startswith(f"{RECIPE.folder}.partial-") for path in (tmp_path / "toy").iterdir())
    assert whole(tmp_path) is None
    assert again(tmp_path) == undisturbed[0] == whole(tmp_path)


def test_of_two_processes_at_once_one_prepares_and_both_have_it(
    tmp_path: Path, undisturbed: tuple[Manifest, Manifest]
) -> None:
    both = [start(child, tmp_path, 0, "", Disk()) for _ in range(2)]
    assert [out.recv() for _, out in both] == [undisturbed[0]] * 2
    for process, _ in both:
        process.join()
    assert {path.name for path in (tmp_path / "toy").iterdir()} <= {RECIPE.folder, f".{RECIPE.folder}.lock"}


def test_a_file_that_cannot_grow_is_a_matter_of_room(tmp_path: Path) -> None:
    process, out = start(limited, tmp_path)
    assert out.recv().startswith("E_DISK: ")
    process.join()
    assert whole(tmp_path) is None


def test_another_listing_is_another_source(undisturbed: tuple[Manifest, Manifest]) -> None:
    old, new = undisturbed
    listing, content = old.source.listing_sha256, old.source.content_sha256
    assert old.source == replace(new.source, listing_sha256=listing, content_sha256=content)
    assert old.source.content_sha256 != new.source.content_sha256
    assert old.digest() != new.digest()
