"""The folder names on the storage that all nodes of a cluster share. This module imports neither torch nor ray."""

from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS, PROGRESS, FETCHED = "checkpoints", "progress", "fetched"
KEYED = (CHECKPOINTS, PROGRESS, FETCHED)
"""The parts of the storage whose folders are named after node keys."""
FEATURES, RAY, REMOVED = "features", "ray", "removed"


@dataclass(frozen=True)
class Folders:
    """The paths of the folders below `storage`. This class creates none of them."""

    storage: Path

    def checkpoint(self, key: str) -> Path:
        """Returns the folder of node `key`'s finished checkpoint, kept until it is committed and not awaited."""
        return self.storage / CHECKPOINTS / key

    def progress(self, key: str) -> Path:
        """Returns the folder of the intermediate checkpoints of generation `key` while it is trained."""
        return self.storage / PROGRESS / key

    def fetched(self, key: str) -> Path:
        """Returns the folder of node `key`'s downloads: its committed checkpoint, or the weights that it imports."""
        return self.storage / FETCHED / key

    def working_copies(self, key: str) -> tuple[Path, ...]:
        """Returns every folder that node `key` may have on the storage."""
        return tuple(self.storage / part / key for part in KEYED)

    @property
    def features(self) -> Path:
        """The folder of layer outputs that evaluators share."""
        return self.storage / FEATURES

    @property
    def ray(self) -> Path:
        """The folder of the temporary files of Ray Train and Ray Tune, with one folder per run."""
        return self.storage / RAY

    @property
    def removed(self) -> Path:
        """The folder into which the garbage collection moves a folder before it deletes it."""
        return self.storage / REMOVED
