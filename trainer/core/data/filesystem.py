"""What a file system can refuse, told as a data problem: no room, no permission, or another process at work."""

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from trainer.core.data.errors import DataProblem
from trainer.core.disk import Disk

log = logging.getLogger("relearn.data")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def free_bytes(folder: Path) -> int:
    """Free bytes where `folder` is or would be made."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def require(folder: Path, needed: int) -> None:
    """Raises DataProblem E_DISK where `folder` has no room for `needed` bytes."""
    if needed > (free := free_bytes(folder)):
        raise _full(folder, needed, free)


@contextmanager
def writing(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Turns the errors of a full or forbidden disk into DataProblem E_DISK and E_PERM; others go on as they are."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(folder, needed, free_bytes(folder)) from error
        if error.errno in _FORBIDDEN:
            where = error.filename or folder
            remedy = "choose a folder that this user may write to, or change its owner"
            raise DataProblem("E_PERM", f"{where} cannot be written ({error.strerror}); {remedy}") from error
        raise


@contextmanager
def locked(path: Path, what: str, timeout_s: float) -> Iterator[None]:
    """Alone among processes and threads that hold `path`; the lock ends with the process, however it ends.

    Waits for another one, and says so. Raises DataProblem E_LOCKED after `timeout_s`.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is at work on %s (%s is locked): waiting for up to %g s", what, path, timeout_s)
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout as error:
            told = f"another process is at work on {what} ({path} is locked) and did not end in {timeout_s:g} s"
            raise DataProblem("E_LOCKED", f"{told}; wait for it, or stop it, and start again") from error
    try:
        yield
    finally:
        lock.release()


def aside(directory: Path) -> Path:
    """Where this process makes `directory` before it is whole."""
    return directory.with_name(f"{directory.name}.partial-{os.getpid()}")


def remove_stale(directory: Path, disk: Disk) -> None:
    """Removes what killed processes left beside `directory`. Call it under the lock: other machines have other processes."""
    for left in _left(directory):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            disk.remove(left)


def tidy(directory: Path, lock: Path, disk: Disk) -> None:
    """The same for a finished `directory`, where it can be done at once."""
    if _left(directory):
        with suppress(DataProblem, OSError), locked(lock, str(directory), 0):
            remove_stale(directory, disk)


def replace(made: Path, directory: Path, disk: Disk) -> None:
    """Renames `made` to `directory`, and removes what was there, which its readers keep until they close it."""
    old = directory.with_name(f"{directory.name}.old-{os.getpid()}")
    if directory.exists():
        disk.rename(directory, old)
    disk.rename(made, directory)
    disk.remove(old)


def _left(directory: Path) -> list[Path]:
    return [left for kind in ("partial", "old") for left in directory.parent.glob(f"{directory.name}.{kind}-*")]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _full(folder: Path, needed: int | None, free: int) -> DataProblem:
    wanted = f"{needed:,} bytes are needed" if needed is not None else "more bytes are needed"
    return DataProblem(
        "E_DISK", f"{wanted} and {free:,} are free in {folder}; make room, or choose a folder on another disk"
    )
