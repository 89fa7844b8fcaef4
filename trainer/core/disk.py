"""The few operations that checkpoints do on disk, each durable when it returns; tests put a disk here that dies on the way."""

import os
import shutil
from pathlib import Path


class Disk:
    """The real one. Nothing here cleans up after an error: a killed process could not either."""

    def write(self, path: Path, payload: bytes) -> None:
        """Writes a new file and waits until its bytes are on the medium."""
        new = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        for directory in new:
            self.sync(directory.parent)
        with path.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Renames and waits until both directories know it."""
        old.rename(new)
        for directory in {old.parent, new.parent}:
            self.sync(directory)

    def sync(self, directory: Path) -> None:
        """Waits until the directory's entries are on the medium."""
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, directory: Path) -> None:
        """Removes a directory and what is in it, if it exists."""
        shutil.rmtree(directory, ignore_errors=True)


DISK = Disk()
