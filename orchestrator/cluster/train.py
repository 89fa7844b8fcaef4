"""Segments of generations on Ray Train.

A lane is one TorchTrainer run whose worker serves segment after segment from the board, a small actor that the driver fills:
starting a run costs about nine seconds, a further segment costs none. A worker that dies is replaced by Ray Train, finds its
unfinished segment on the board again, and continues from the newest checkpoint on shared storage that verifies; so does another
attempt after the driver's death.
"""

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer

from orchestrator.cluster.board import (
    Board,
    EpochDone,
    GenerationDone,
    LaneReady,
    Message,
    Resumed,
    SegmentFailed,
    Task,
    checkpoint_folder,
    progress_folder,
)
from orchestrator.plan.capacity import worker_capacity
from orchestrator.spec import Resources
from orchestrator.states import Reason
from trainer import loop, methods
from trainer.batches import DataBatches
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint, pin_threads
from trainer.core.distributed import Workers
from trainer.core.state import TrainState
from trainer.run import Progress
from trainer.spec import TrainSpec


def capacity(resources: Resources) -> int:
    """How many lanes, each of so many training workers, the cluster can hold at once."""
    return worker_capacity([node["Resources"] for node in ray.nodes() if node["Alive"]], resources) // resources.workers


@dataclass
class Lanes:
    """The lanes of one attempt. `on_lane_lost` is told when a run gave up although tasks may be left."""

    name: str
    count: int
    resources: Resources
    storage: Path
    on_lane_lost: Callable[[int, str], None]
    _threads: list[threading.Thread] = field(default_factory=list)
    _may_start: list[threading.Event] = field(default_factory=list)
    _closed: bool = False

    def start(self) -> None:
        """Starts the board and one Ray Train run per lane, each once the one before is up: together they would all be late."""
        self._may_start = [threading.Event() for _ in range(self.count)]
        self._may_start[0].set()
        self._board_name = f"board-{self.name}"
        self.board = ray.remote(Board).options(name=self._board_name, num_cpus=0).remote()
        for lane in range(self.count):
            thread = threading.Thread(target=self._fit, args=(lane,), name=f"lane-{lane}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def offer(self, tasks: list[Task]) -> None:
        ray.get(self.board.offer.remote(tasks))

    def drain(self, timeout_s: float) -> list[Message]:
        """Messages of the workers since the last call."""
        messages: list[Message] = ray.get(self.board.drain.remote(timeout_s))
        for message in messages:
            if isinstance(message, LaneReady):
                self._let_start(message.lane + 1)
        return messages

    def abandon(self, lane: int) -> Task | None:
        """Takes back the task of a lost lane."""
        task: Task | None = ray.get(self.board.abandon.remote(lane))
        return task

    def close(self) -> None:
        """Lets the workers go home and waits for the runs to end."""
        ray.get(self.board.close.remote())
        self._closed = True
        for lane in range(self.count):
            self._let_start(lane)
        for thread in self._threads:
            thread.join()
        ray.kill(self.board)

    def _let_start(self, lane: int) -> None:
        if lane < self.count:
            self._may_start[lane].set()

    def _fit(self, lane: int) -> None:
        self._may_start[lane].wait()
        if self._closed:
            return
        use_gpu = self.resources.gpus > 0
        per_worker = {"CPU": float(self.resources.cpus)} | ({"GPU": self.resources.gpus} if use_gpu else {})
        trainer = TorchTrainer(
            serve,
            train_loop_config={
                "board": self._board_name,
                "lane": lane,
                "threads": self.resources.threads,
                "checkpoint_every_s": self.resources.checkpoint_every_s,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=self.resources.workers, use_gpu=use_gpu, resources_per_worker=per_worker
            ),
            run_config=ray.train.RunConfig(
                name=f"{self.name}-lane{lane}",
                storage_path=str(self.storage / "ray"),
                failure_config=ray.train.FailureConfig(max_failures=self.resources.max_worker_failures),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray Train wraps whatever ended the run, and a thread must not end silently
            self.on_lane_lost(lane, f"{type(error).__name__}: {error}")
        finally:
            self._let_start(lane + 1)


def serve(config: dict[str, Any]) -> None:
    """A worker's side of a lane: trains what the board gives until it is closed. Of several workers the first one reports."""
    board = ray.get_actor(config["board"])
    pin_threads(config["threads"])
    lane, every_s = config["lane"], config["checkpoint_every_s"]
    if Workers.here().rank > 0:
        _follow(board, lane, every_s)
        return
    board.post.remote(LaneReady(lane))
    while (task := ray.get(board.take.remote(lane))) is not None:
        try:
            run_segment(task, board, every_s)
        except loop.Diverged as error:
            ray.get(board.post.remote(failure(task, error)))
        except (OSError, checkpoint.BadCheckpoint):
            raise  # the disk or the network: Ray Train starts the worker again
        except Exception as error:  # deterministic, so trying again would not help
            ray.get(board.post.remote(failure(task, error)))
            if (
                Workers.here().count > 1
            ):  # the others may still wait for this one inside the task: all start again without it
                ray.get(board.finished.remote(lane))
                raise
        ray.get(board.finished.remote(lane))


def _follow(board: Any, lane: int, every_s: float) -> None:
    """Takes part in what the lane's first worker trains. An error here ends all its workers; Ray Train starts them again."""
    number = 0
    while (following := ray.get(board.follow.remote(lane, number))) is not None:
        number, task = following
        with contextlib.suppress(loop.Diverged):  # the first worker saw the same loss, and tells
            run_segment(task, None, every_s)


def failure(task: Task, error: Exception) -> SegmentFailed:
    """What is told of an error in training, while it is being handled."""
    if isinstance(error, loop.Diverged):
        return SegmentFailed(task, Reason.DIVERGED, str(error))
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return SegmentFailed(task, Reason.OOM if out_of_memory else Reason.USER_ERROR, traceback.format_exc(limit=-3))


def run_segment(task: Task, board: Any, checkpoint_every_s: float, device: torch.device | None = None) -> None:
    """Trains the rest of a segment; only the worker that has the board tells it, and writes checkpoints.

    `device` is by default the one that Ray Train gave to the worker.
    """

    def tell(message: Message) -> None:
        if board is not None:
            board.post.remote(message)

    spec = TrainSpec.model_validate_json(task.spec)
    if (plugin := methods.PLUGINS.get(spec.method.name)) and plugin.code_sha256 != task.code_sha256:
        raise ValueError(
            f"this node has other code of {plugin.package} than the head: install the same version everywhere"
        )
    device = ray.train.torch.get_device() if device is None else device
    dataset = spec.data.load().to(device)
    state = loop.start(spec, len(dataset.classes), device)
    now = fingerprint(device, Workers.here().count)
    progress = {key: Progress(progress_folder(task.storage, key), checkpoint_every_s) for key in task.keys}
    for manifest in finished(task):  # the worker that finished it may have died before its message arrived
        tell(GenerationDone(manifest.key, manifest.weights_sha256))
    if (resumed := restore(task, progress.values(), state)) is not None and resumed.key in task.keys:
        tell(Resumed(resumed.key, resumed.epoch, bitwise=resumed.fingerprint == now))
    elif resumed is not None:
        state.epoch = spec.train.epochs  # the parent is a finished generation, however many epochs it had
    batches = DataBatches(dataset, spec.train.batch_size)
    for row in loop.train(spec, state, batches, generations=task.first + len(task.keys)):
        if board is None:
            continue
        key = task.keys[row.generation - task.first]
        tell(EpochDone(key, asdict(row) | {"at": time.time()}))
        if state.epoch == spec.train.epochs:
            manifest = checkpoint.save(checkpoint_folder(task.storage, key), state, key, now)
            progress[key].generation_done()
            tell(GenerationDone(key, manifest.weights_sha256))
        else:
            progress[key].epoch_done(state, key, now)


def finished(task: Task) -> list[checkpoint.Manifest]:
    """The generations of the segment that are whole on shared storage, in order."""
    found = []
    for key in task.keys:
        with contextlib.suppress(checkpoint.BadCheckpoint):
            manifest = checkpoint.read_manifest(checkpoint_folder(task.storage, key))
            if manifest.key == key:
                found.append(manifest)
    return found


def restore(task: Task, progress: Iterable[Progress], state: TrainState) -> checkpoint.Manifest | None:
    """Loads the furthest checkpoint of the segment that verifies: mid-generation, a finished generation, or the parent's.

    All workers of a lane choose alike, because none writes before all have loaded: the first epoch's sums wait for everyone.
    """
    folders = [checkpoint_folder(task.storage, each.key) for each in finished(task)]
    folders += [folder for each in progress for folder in each.checkpoints()]
    for manifest, folder in checkpoint.furthest(folders):
        if manifest.key in task.keys:
            return checkpoint.load(folder, state)
    return checkpoint.load(Path(task.parent), state) if task.parent else None
