"""Writes a TrainState to disk and reads it back.

A checkpoint is a directory with `state.pt` and, written last, `manifest.json`, which holds the sha256 of `state.pt`. A
directory without a valid manifest is not a checkpoint. Loading verifies the hash before it parses anything and never
unpickles code, so a truncated, corrupted or foreign file raises `BadCheckpoint`.
"""

import contextlib
import copy
import hashlib
import io
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.core.determinism import Fingerprint
from trainer.core.disk import DISK, Disk
from trainer.core.state import EpochRow, TrainState

log = logging.getLogger("relearn.checkpoint")

FORMAT = 2
STATE, MANIFEST = "state.pt", "manifest.json"


class BadCheckpoint(ValueError):  # noqa: N818  the name is the condition itself
    """A directory is not a complete checkpoint. The message names the file and the reason."""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    `key` is the content key of the generation node that the checkpoint belongs to. `weights_sha256` is the digest of
    the weights and buffers alone; `sha256` and `bytes` describe the whole file `state.pt`.
    """

    key: str
    generation: int
    epoch: int
    weights_sha256: str
    fingerprint: Fingerprint
    sha256: str
    bytes: int
    format: int = FORMAT


def weights_digest(tensors: dict[str, torch.Tensor]) -> str:
    """Returns the sha256 over names, dtypes, shapes and bytes in name order.

    Two digests are equal exactly when all tensors are bit-equal.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(directory: Path, state: TrainState, key: str, fingerprint: Fingerprint, disk: Disk = DISK) -> Manifest:
    """Writes `state` to `directory` atomically, even if the process is killed while it writes."""
    weights = state.model.state_dict()
    buffer = io.BytesIO()
    torch.save(
        {
            "model": weights,
            "momentum": state.momentum,
            "memory": state.memory,
            "teacher": None if state.teacher is None else state.teacher.state_dict(),
            "seed": state.seed,
            "origin": state.origin,
            "generation": state.generation,
            "epoch": state.epoch,
            "monitors": state.monitors,
            "history": [asdict(row) for row in state.history],
        },
        buffer,
    )
    payload = buffer.getvalue()
    manifest = Manifest(
        key,
        state.generation,
        state.epoch,
        weights_digest(weights),
        fingerprint,
        hashlib.sha256(payload).hexdigest(),
        len(payload),
    )
    aside = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    for torn in directory.parent.glob(f".{directory.name}.*.partial"):  # left behind by killed processes
        disk.remove(torn)
    disk.write(aside / STATE, payload)
    disk.write(aside / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True).encode())
    disk.sync(aside)
    disk.remove(directory)
    disk.rename(aside, directory)
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Returns the verified manifest of `directory`. Raises BadCheckpoint if a file is missing, truncated or altered."""
    return _verified(directory)[0]


def load(directory: Path, state: TrainState) -> Manifest:
    """Fills `state`, whose model must have the right shape, from `directory`.

    Raises BadCheckpoint and then leaves `state` unchanged.
    """
    manifest, payload = _verified(directory)
    saved = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    device = state.device
    state.model.load_state_dict(saved["model"])
    state.momentum = {name: buffer.to(device) for name, buffer in saved["momentum"].items()}
    state.memory = {name: tensor.to(device) for name, tensor in saved["memory"].items()}
    state.teacher = None
    if saved["teacher"] is not None:
        state.teacher = copy.deepcopy(state.model).eval().requires_grad_(requires_grad=False)
        state.teacher.load_state_dict(saved["teacher"])
    state.seed, state.generation, state.epoch = saved["seed"], saved["generation"], saved["epoch"]
    state.origin = saved["origin"]
    state.monitors = saved["monitors"]
    state.history = [EpochRow(**row) for row in saved["history"]]
    return manifest


def load_weights(directory: Path, model: torch.nn.Module) -> Manifest:
    """Fills only the weights and buffers of `model` from `directory`. Raises BadCheckpoint."""
    manifest, payload = _verified(directory)
    model.load_state_dict(torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")["model"])
    return manifest


def furthest(directories: Iterable[Path], disk: Disk = DISK) -> list[tuple[Manifest, Path]]:
    """Returns the complete checkpoints among `directories`, the furthest trained first.

    A damaged checkpoint is renamed to NAME.bad.
    """
    found = []
    for directory in directories:
        try:
            found.append((read_manifest(directory), directory))
        except BadCheckpoint as error:
            if directory.exists():
                log.warning("%s; set aside, the checkpoint before it is used", error)
                disk.remove(directory.with_name(f"{directory.name}.bad"))
                with contextlib.suppress(FileNotFoundError):  # another worker has already renamed it
                    disk.rename(directory, directory.with_name(f"{directory.name}.bad"))
    return sorted(found, key=lambda each: (each[0].generation, each[0].epoch), reverse=True)


def load_history(directory: Path) -> list[EpochRow]:
    """Returns the epoch rows of the generation in `directory`. Raises BadCheckpoint."""
    _, payload = _verified(directory)
    rows = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")["history"]
    return [EpochRow(**row) for row in rows]


def _verified(directory: Path) -> tuple[Manifest, bytes]:
    try:
        fields: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
        manifest = Manifest(**fields)
        payload = (directory / STATE).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise BadCheckpoint(f"{directory} is not a whole checkpoint: {error}") from error
    if manifest.format != FORMAT:
        raise BadCheckpoint(f"{directory} has format {manifest.format}, this version reads {FORMAT}")
    found = hashlib.sha256(payload).hexdigest()
    if found != manifest.sha256:
        raise BadCheckpoint(f"{directory / STATE} has sha256 {found}, its manifest says {manifest.sha256}")
    return manifest, payload
