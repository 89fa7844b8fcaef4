"""Finished generations on shared storage, committed or not."""

from orchestrator.checkpoints.folders import Folders
from trainer.core import checkpoint


def finished(folders: Folders, key: str) -> checkpoint.Manifest | None:
    """The manifest of node `key`, if its checkpoint is complete, undamaged and really its own."""
    try:
        manifest = checkpoint.read_manifest(folders.checkpoint(key))
    except checkpoint.BadCheckpoint:
        return None
    return manifest if manifest.key == key else None
