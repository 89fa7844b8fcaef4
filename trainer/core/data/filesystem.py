"""Reports failures of the file system as data problems: a full disk, missing permission, or another process at work."""

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
    """Returns the free bytes on the disk of `folder`, which need not exist yet."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def require(folder: Path, needed: int) -> None:
    """Raises DataProblem E_DISK if the disk of `folder` has fewer than `needed` free bytes."""
    if needed > (free := free_bytes(folder)):
        raise _full(folder, needed, free)


@contextmanager
def writing(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Turns errors of a full or forbidden disk into DataProblem E_DISK or E_PERM. Other errors pass unchanged."""
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
    """Holds the lock file `path` alone among processes and threads. The lock ends with the process, however it ends.

    If another process holds it, logs that and waits. Raises DataProblem E_LOCKED after `timeout_s` seconds. `what`
    describes the protected work in messages.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is at work on %s (%s is locked): waiting for up to %g s", what, path, timeout_s)
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout as error:
            busy = f"another process is at work on {what} ({path} is locked) and did not end in {timeout_s:g} s"
            raise DataProblem("E_LOCKED", f"{busy}; wait for it, or stop it, and start again") from error
    try:
        yield
    finally:
        lock.release()


def aside(directory: Path) -> Path:
    """Returns the temporary path at which this process builds `directory`."""
    return directory.with_name(f"{directory.name}.partial-{os.getpid()}")


def remove_stale(directory: Path, disk: Disk) -> None:
    """Removes what killed processes left beside `directory`.

    The caller must hold the lock, because process ids of other machines mean nothing here.
    """
    for left in _left(directory):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            disk.remove(left)


def tidy(directory: Path, lock: Path, disk: Disk) -> None:
    """Removes what killed processes left beside a finished `directory`, unless the lock is taken or a file refuses."""
    if _left(directory):
        with suppress(DataProblem, OSError), locked(lock, str(directory), 0):
            remove_stale(directory, disk)


def replace(made: Path, directory: Path, disk: Disk) -> None:
    """Renames `made` to `directory` and removes the previous one. Processes that have it open can still read it."""
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
