"""Where things lie on the storage that all nodes of a cluster share. It imports neither torch nor ray."""

from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS, PROGRESS, FETCHED = "checkpoints", "progress", "fetched"
KEYED = (CHECKPOINTS, PROGRESS, FETCHED)
"""The parts of the storage whose folders are named by node key."""
FEATURES, RAY, REMOVED = "features", "ray", "removed"


@dataclass(frozen=True)
class Folders:
    """The folders below `storage`. None of them is created here."""

    storage: Path

    def checkpoint(self, key: str) -> Path:
        """The finished checkpoint of node `key`, until it is committed and nobody waits for it any more."""
        return self.storage / CHECKPOINTS / key

    def progress(self, key: str) -> Path:
        """The checkpoints of generation `key` while it is being trained."""
        return self.storage / PROGRESS / key

    def fetched(self, key: str) -> Path:
        """What was downloaded for node `key`: its committed checkpoint, or the weights it is imported from."""
        return self.storage / FETCHED / key

    def working_copies(self, key: str) -> tuple[Path, ...]:
        """Everything that node `key` may have here."""
        return tuple(self.storage / part / key for part in KEYED)

    @property
    def features(self) -> Path:
        """Layer outputs that evaluators leave for each other."""
        return self.storage / FEATURES

    @property
    def ray(self) -> Path:
        """The scratch of Ray Train and Ray Tune, one folder per run."""
        return self.storage / RAY

    @property
    def removed(self) -> Path:
        """Where the clean-up moves a folder before it removes it."""
        return self.storage / REMOVED
