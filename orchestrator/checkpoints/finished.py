"""Finds finished checkpoints on shared storage, whether or not they are committed."""

from orchestrator.checkpoints.folders import Folders
from trainer.core import checkpoint


def finished(folders: Folders, key: str) -> checkpoint.Manifest | None:
    """Returns the manifest of node `key` if its checkpoint is complete, undamaged and its own; None otherwise."""
    try:
        manifest = checkpoint.read_manifest(folders.checkpoint(key))
    except checkpoint.BadCheckpoint:
        return None
    return manifest if manifest.key == key else None
