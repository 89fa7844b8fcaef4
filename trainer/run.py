"""Trains one spec in this process and keeps checkpoints on disk.

`OUT/g0003` is a finished generation, and `OUT/progress` holds checkpoints of an unfinished one. A run that is killed
and started again continues from the furthest complete checkpoint and ends with the same bits.
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
"""The number of checkpoints of an unfinished generation that are kept: the newest, and another in case it is
damaged."""


class Progress:
    """The checkpoints of an unfinished generation, in their own folder. One is due every `every_s` seconds."""

    def __init__(
        self, folder: Path, every_s: float, disk: Disk = DISK, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self._every_s, self._disk, self._clock = folder, every_s, disk, clock
        self._saved_at = clock()

    def checkpoints(self) -> list[Path]:
        """Returns the folders of the checkpoints, the oldest first."""
        return sorted(self.folder.glob("g[0-9][0-9][0-9][0-9]-e[0-9][0-9][0-9][0-9][0-9][0-9]"))

    def epoch_done(self, state: TrainState, key: str, now: Fingerprint) -> None:
        """Saves the state if a checkpoint is due, and removes all but the newest KEPT."""
        if self._clock() - self._saved_at < self._every_s:
            return
        name = f"g{state.generation:04}-e{state.epoch:06}"
        checkpoint.save(self.folder / name, state, key, now, self._disk)
        for old in self.checkpoints()[:-KEPT]:
            self._disk.remove(old)
        self._saved_at = self._clock()

    def generation_done(self) -> None:
        """Removes the checkpoints, because the finished generation has its own checkpoint now."""
        self._disk.remove(self.folder)


def run(
    spec: TrainSpec,
    device: torch.device,
    out: Path | None = None,
    fork: Path | None = None,
    every_s: float = 30.0,
    disk: Disk = DISK,
) -> Iterator[EpochRow]:
    """Trains `spec`, or continues it from the checkpoints in `out`; yields each epoch's row after it is on disk.

    `fork` is the checkpoint of a finished generation of any method, from which the method of this spec continues. A
    checkpoint is written at most every `every_s` seconds within a generation. Raises Diverged, BadCheckpoint if `fork`
    is damaged, and ValueError if `out` or `fork` does not fit the spec.
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
    """Returns the sha256 of the settings that shape a run.

    The number of generations does not count unless the schedule depends on it.
    """
    content = spec.model_dump(mode="json")
    content["train"].pop("recipe")
    if spec.train.schedule.scope == "generation":
        content["train"].pop("generations")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fork(spec: TrainSpec, state: TrainState, fork: Path) -> None:
    """Moves `state` to the start of the generation that follows the one in `fork`."""
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
