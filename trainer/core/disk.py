"""The operations on disk that checkpoints need.

Each is durable when it returns. Tests replace them to simulate crashes.
"""

import os
import shutil
from pathlib import Path


class Disk:
    """The real disk. No method cleans up after an error, because a killed process could not do so either."""

    def write(self, path: Path, payload: bytes) -> None:
        """Writes a new file and waits until its bytes are on the storage device."""
        new = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        for directory in new:
            self.sync(directory.parent)
        with path.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Renames `old` to `new` and waits until both parent directories are on the storage device."""
        old.rename(new)
        for directory in {old.parent, new.parent}:
            self.sync(directory)

    def sync(self, directory: Path) -> None:
        """Waits until the entries of `directory` are on the storage device."""
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, directory: Path) -> None:
        """Removes `directory` with its contents if it exists."""
        shutil.rmtree(directory, ignore_errors=True)


DISK = Disk()
