"""Keeps a node's own copy of a cache that lies on slow shared storage.

The copy is made once and verified, and it appears atomically.
"""

import os
import shutil
from pathlib import Path

from trainer.core.data import filesystem
from trainer.core.data.cache import verify
from trainer.core.data.manifest import read_manifest
from trainer.core.disk import DISK

LOCK_TIMEOUT_S = 3600


def localised(directory: Path) -> Path:
    """Returns this node's copy of `directory` below RELEARN_DATA_LOCAL, or `directory` if that is not set.

    Raises DataProblem E_CACHE if the copy differs from the manifest and E_DISK if it does not fit on the disk.
    """
    root = os.environ.get("RELEARN_DATA_LOCAL")
    if not root:
        return directory
    digest = read_manifest(directory).digest()
    copy = Path(root).absolute() / digest
    if copy.exists():
        return copy
    size = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
    with filesystem.writing(copy.parent, size):
        copy.parent.mkdir(parents=True, exist_ok=True)
        with filesystem.locked(copy.with_name(f".{copy.name}.lock"), f"the copy of {directory}", LOCK_TIMEOUT_S):
            if not copy.exists():
                filesystem.remove_stale(copy, DISK)
                filesystem.require(copy.parent, size)
                aside = filesystem.aside(copy)
                try:
                    shutil.copytree(directory, aside)
                    verify(aside)
                    filesystem.replace(aside, copy, DISK)
                finally:
                    DISK.remove(aside)
    return copy
