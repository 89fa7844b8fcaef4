"""The settings of an installation from RELEARN_* environment variables, which must be equal in all its processes."""

import math
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The addresses and limits of an installation.

    `home` contains all of its files by default. `storage` must be shared by all nodes of a cluster.
    """

    home: Path
    database_url: str
    tracking_uri: str
    ray_address: str
    storage: Path
    max_running: int
    """The number of experiments that run at the same time. Others wait in the order in which they were posted."""
    features_gib: float = 20
    """The most GiB of layer outputs that evaluators cache in `storage`; 0 disables the cache."""

    @staticmethod
    def from_environment() -> "Settings":
        """Returns the settings of this process. Raises ValueError for an invalid value."""
        home = Path(os.environ.get("RELEARN_HOME", ".relearn")).absolute()
        max_running = os.environ.get("RELEARN_MAX_RUNNING", "1")
        if not max_running.isdigit() or int(max_running) < 1:
            raise ValueError(f"RELEARN_MAX_RUNNING must be a whole number >= 1, got {max_running!r}")
        features = os.environ.get("RELEARN_FEATURES_GB", "20")
        try:
            features_gib = float(features)
        except ValueError:
            features_gib = -1
        if not 0 <= features_gib < math.inf:
            raise ValueError(f"RELEARN_FEATURES_GB must be a number >= 0, got {features!r}: 0 keeps no features")
        return Settings(
            home=home,
            database_url=os.environ.get("RELEARN_DATABASE_URL", f"sqlite:///{home / 'relearn.db'}"),
            tracking_uri=os.environ.get("RELEARN_TRACKING_URI", "http://127.0.0.1:5000"),
            ray_address=os.environ.get("RELEARN_RAY_ADDRESS", "http://127.0.0.1:8265"),
            storage=Path(os.environ.get("RELEARN_STORAGE", home / "storage")).absolute(),
            max_running=int(max_running),
            features_gib=features_gib,
        )
