"""A node's own copy of a cache that lies on slow shared storage: fetched once, verified, whole or not there."""

import os
import shutil
from pathlib import Path

from trainer.core.data.prepared import room
from trainer.core.data.prepared.cache import verify
from trainer.core.data.prepared.manifest import read_manifest
from trainer.core.disk import DISK

LOCK_TIMEOUT_S = 3600


def localised(directory: Path) -> Path:
    """`directory`, or this node's copy of it below RELEARN_DATA_LOCAL, where that is set.

    Raises DataProblem E_CACHE where the copy is not what the manifest says, E_DISK where it does not fit.
    """
    root = os.environ.get("RELEARN_DATA_LOCAL")
    if not root:
        return directory
    digest = read_manifest(directory).digest()
    copy = Path(root).absolute() / digest
    if copy.exists():
        return copy
    size = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
    with room.writing(copy.parent, size):
        copy.parent.mkdir(parents=True, exist_ok=True)
        with room.locked(copy.with_name(f".{copy.name}.lock"), f"the copy of {directory}", LOCK_TIMEOUT_S):
            if not copy.exists():
                room.remove_stale(copy, DISK)
                room.require(copy.parent, size)
                aside = room.aside(copy)
                try:
                    shutil.copytree(directory, aside)
                    verify(aside)
                    room.replace(aside, copy, DISK)
                finally:
                    DISK.remove(aside)
    return copy
