"""One spec in this process, with its checkpoints on disk: `OUT/g0003` for a finished generation, `OUT/progress` in between.

Killed anywhere and started again, it goes on from the furthest checkpoint that is whole and ends with the same bits.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from trainer import loop
from trainer.batches import DataBatches
from trainer.core import checkpoint
from trainer.core.determinism import Fingerprint, fingerprint
from trainer.core.disk import DISK, Disk
from trainer.core.state import EpochRow, TrainState
from trainer.spec import TrainSpec

KEPT = 2
"""Checkpoints of an unfinished generation that are kept: the newest, and the one before should it be damaged."""


class Progress:
    """The checkpoints of an unfinished generation, in a folder of their own; one is due every `every_s` seconds."""

    def __init__(
        self, folder: Path, every_s: float, disk: Disk = DISK, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self._every_s, self._disk, self._clock = folder, every_s, disk, clock
        self._saved_at = clock()

    def checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("g[0-9][0-9][0-9][0-9]-e[0-9][0-9][0-9][0-9][0-9][0-9]"))

    def epoch_done(self, state: TrainState, key: str, now: Fingerprint) -> None:
        """Saves the state if it is time, and removes what is older than the newest few."""
        if self._clock() - self._saved_at < self._every_s:
            return
        name = f"g{state.generation:04}-e{state.epoch:06}"
        checkpoint.save(self.folder / name, state, key, now, self._disk)
        for old in self.checkpoints()[:-KEPT]:
            self._disk.remove(old)
        self._saved_at = self._clock()

    def generation_done(self) -> None:
        """The generation has a checkpoint of its own now."""
        self._disk.remove(self.folder)


def run(
    spec: TrainSpec,
    device: torch.device,
    out: Path | None = None,
    fork: Path | None = None,
    every_s: float = 30.0,
    disk: Disk = DISK,
) -> Iterator[EpochRow]:
    """Trains `spec`, or what is left of it in `out`, yielding each epoch's row after it is on disk.

    `fork` is the checkpoint of a finished generation, made under any method: this spec's method goes on from there.
    Raises Diverged, BadCheckpoint where `fork` is not whole, and ValueError where `out` or `fork` does not fit the spec.
    """
    dataset = spec.data.load().to(device)
    state = loop.start(spec, len(dataset.classes), device)
    now = fingerprint(device)
    progress = None if out is None else Progress(out / "progress", every_s, disk)
    found = (
        checkpoint.furthest([*out.glob("g[0-9][0-9][0-9][0-9]"), *progress.checkpoints()], disk)
        if out and progress
        else []
    )
    key = identity(spec)
    if found:
        if found[0][0].key != key:
            raise ValueError(f"{found[0][1]} was trained by another spec: name another folder for this one")
        checkpoint.load(found[0][1], state)
    elif fork is not None:
        _fork(spec, state, fork)
    for row in loop.train(spec, state, DataBatches(dataset, spec.train.batch_size)):
        if out is not None and progress is not None:
            if state.epoch == spec.train.epochs:
                checkpoint.save(out / f"g{state.generation:04}", state, key, now, disk)
                progress.generation_done()
            else:
                progress.epoch_done(state, key, now)
        yield row


def identity(spec: TrainSpec) -> str:
    """sha256 of what shapes a run; more generations of the same are the same run."""
    content = spec.model_dump(mode="json")
    content["train"].pop("recipe")
    if spec.train.schedule.scope == "generation":
        content["train"].pop("generations")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fork(spec: TrainSpec, state: TrainState, fork: Path) -> None:
    """Puts `state` at the start of the generation after the one in `fork`."""
    try:
        checkpoint.load(fork, state)
    except RuntimeError as error:
        raise ValueError(
            f"{fork} holds another network than {spec.model.name} for {spec.data.name}: {error}"
        ) from error
    if "train_accuracy" not in state.monitors:
        raise ValueError(f"{fork} is in the middle of generation {state.generation}: fork a finished one")
    if state.generation >= spec.train.generations - 1:
        raise ValueError(
            f"{fork} is generation {state.generation}, nothing is left of the spec's {spec.train.generations}"
        )
    state.origin, state.seed = state.origin or (state.seed, 0), spec.seed
    if "generation" in spec.train.reset_momentum_at:
        state.momentum = {}
    loop.begin_generation(state)
