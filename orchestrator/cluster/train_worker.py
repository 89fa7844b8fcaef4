"""The worker's side of training segments of generations on Ray Train: training, reports, and resuming."""

import contextlib
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.train.torch
import torch

from orchestrator.checkpoints.finished import finished
from orchestrator.checkpoints.folders import Folders
from orchestrator.cluster.mailbox import EpochDone, GenerationDone, Message, Resumed, SegmentFailed, SlotReady
from orchestrator.cluster.payloads import Task
from orchestrator.states import Reason
from trainer import loop, methods
from trainer.batches import DataBatches
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint, pin_threads
from trainer.core.distributed import Workers
from trainer.core.state import TrainState
from trainer.run import Progress
from trainer.spec import TrainSpec


def serve(config: dict[str, Any]) -> None:
    """Trains the tasks of a training slot until the mailbox is closed. Ray Train calls this in each worker of the slot.

    The worker of rank 0 takes the tasks and reports. The others follow it.
    """
    mailbox = ray.get_actor(config["mailbox"])
    pin_threads(config["threads"])
    slot, every_s = config["slot"], config["checkpoint_every_s"]
    if Workers.here().rank > 0:
        _follow(mailbox, slot, every_s)
        return
    mailbox.post.remote(SlotReady(slot))
    while (task := ray.get(mailbox.take.remote(slot))) is not None:
        try:
            run_segment(task, mailbox, every_s)
        except loop.Diverged as error:
            ray.get(mailbox.post.remote(failure(task, error)))
        except (OSError, checkpoint.BadCheckpoint):
            raise  # the disk or the network failed, so Ray Train starts the worker again
        except Exception as error:  # the error is deterministic, so trying again would not help
            ray.get(mailbox.post.remote(failure(task, error)))
            if Workers.here().count > 1:
                # the other workers may still wait for this one inside the task, so all start again without the task
                ray.get(mailbox.finished.remote(slot))
                raise
        ray.get(mailbox.finished.remote(slot))


def _follow(mailbox: Any, slot: int, every_s: float) -> None:
    """Takes part in the training of the slot's first worker.

    An error ends all workers of the slot, and Ray Train starts them again.
    """
    number = 0
    while (following := ray.get(mailbox.follow.remote(slot, number))) is not None:
        number, task = following
        with contextlib.suppress(loop.Diverged):  # the first worker has the same loss, and reports it
            run_segment(task, None, every_s)


def failure(task: Task, error: Exception) -> SegmentFailed:
    """Returns the report of an error in training. It must be called while the error is being handled."""
    if isinstance(error, loop.Diverged):
        return SegmentFailed(task, Reason.DIVERGED, str(error))
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return SegmentFailed(task, Reason.OOM if out_of_memory else Reason.USER_ERROR, traceback.format_exc(limit=-3))


def run_segment(task: Task, mailbox: Any, checkpoint_every_s: float, device: torch.device | None = None) -> None:
    """Trains the generations of a segment that are not done.

    Only a worker that has the mailbox reports and writes checkpoints. `device` is by default the one that Ray Train
    assigned to the worker. Raises ValueError if this machine has other code of the method than the head, and Diverged
    if the loss is no longer finite.
    """

    def report(message: Message) -> None:
        if mailbox is not None:
            mailbox.post.remote(message)

    spec = TrainSpec.model_validate_json(task.spec)
    if (plugin := methods.PLUGINS.get(spec.method.name)) and plugin.code_sha256 != task.code_sha256:
        raise ValueError(
            f"this machine has other code of {plugin.package} than the head: install the same version on all machines"
        )
    device = ray.train.torch.get_device() if device is None else device
    dataset = spec.data.load().to(device)
    state = loop.start(spec, len(dataset.classes), device)
    folders = Folders(Path(task.storage))
    now = fingerprint(device, Workers.here().count)
    progress = {key: Progress(folders.progress(key), checkpoint_every_s) for key in task.keys}
    for manifest in finished_of(task):  # the worker that finished it may have died before its message arrived
        report(GenerationDone(manifest.key, manifest.weights_sha256))
    if (resumed := restore(task, progress.values(), state)) is not None and resumed.key in task.keys:
        report(Resumed(resumed.key, resumed.epoch, bitwise=resumed.fingerprint == now))
    elif resumed is not None:
        state.epoch = (
            spec.train.epochs
        )  # the parent is a finished generation, and may have had another number of epochs
    batches = DataBatches(dataset, spec.train.batch_size)
    for row in loop.train(spec, state, batches, generations=task.first + len(task.keys)):
        if mailbox is None:
            continue
        key = task.keys[row.generation - task.first]
        report(EpochDone(key, asdict(row) | {"at": time.time()}))
        if state.epoch == spec.train.epochs:
            manifest = checkpoint.save(folders.checkpoint(key), state, key, now)
            progress[key].generation_done()
            report(GenerationDone(key, manifest.weights_sha256))
        else:
            progress[key].epoch_done(state, key, now)


def finished_of(task: Task) -> list[checkpoint.Manifest]:
    """Returns the manifests of the segment's generations that are complete on shared storage, in order."""
    folders = Folders(Path(task.storage))
    return [manifest for key in task.keys if (manifest := finished(folders, key)) is not None]


def restore(task: Task, progress: Iterable[Progress], state: TrainState) -> checkpoint.Manifest | None:
    """Loads the furthest checkpoint of the segment that verifies into `state`, and returns its manifest.

    It is a checkpoint from within a generation, that of a finished generation, or that of the parent. Returns None if
    there is none. All workers of a slot choose the same one: none writes a checkpoint before the end of its first
    epoch, and that epoch's sums wait until all workers have loaded.
    """
    own = [Folders(Path(task.storage)).checkpoint(each.key) for each in finished_of(task)]
    own += [folder for each in progress for folder in each.checkpoints()]
    for manifest, folder in checkpoint.furthest(own):
        if manifest.key in task.keys:
            return checkpoint.load(folder, state)
    return checkpoint.load(Path(task.parent), state) if task.parent else None
