"""Segments of generations on Ray Train.

A lane is one TorchTrainer run whose worker serves segment after segment from the board, a small actor that the driver fills:
starting a run costs about nine seconds, a further segment costs none. A worker that dies is replaced by Ray Train, finds its
unfinished segment on the board again, and continues from the newest checkpoint that verifies.
"""

import contextlib
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer

from orchestrator.ray_board import (
    Board,
    EpochDone,
    GenerationDone,
    LaneReady,
    Message,
    Resumed,
    SegmentFailed,
    Task,
    checkpoint_folder,
)
from orchestrator.spec import Resources
from trainer import loop
from trainer.core import checkpoint
from trainer.core.fingerprint import fingerprint, pin_threads
from trainer.core.state import TrainState
from trainer.spec import TrainSpec


def capacity(resources: Resources) -> int:
    """How many training workers the cluster can hold at once."""
    slots = 0
    for node in ray.nodes():
        if node["Alive"]:
            cpus = int(node["Resources"].get("CPU", 0) // resources.cpus)
            gpus = int(node["Resources"].get("GPU", 0) // resources.gpus) if resources.gpus else cpus
            slots += min(cpus, gpus)
    return slots


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
        task: Task | None = ray.get(self.board.finished.remote(lane))
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
            scaling_config=ray.train.ScalingConfig(num_workers=1, use_gpu=use_gpu, resources_per_worker=per_worker),
            run_config=ray.train.RunConfig(
                name=f"{self.name}-lane{lane}",
                storage_path=str(self.storage / "ray"),
                failure_config=ray.train.FailureConfig(max_failures=self.resources.max_worker_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray Train wraps whatever ended the run, and a thread must not end silently
            self.on_lane_lost(lane, f"{type(error).__name__}: {error}")
        finally:
            self._let_start(lane + 1)


def serve(config: dict[str, Any]) -> None:
    """The worker's side of a lane: trains what the board gives until it is closed."""
    board = ray.get_actor(config["board"])
    pin_threads(config["threads"])
    board.post.remote(LaneReady(config["lane"]))
    while (task := ray.get(board.take.remote(config["lane"]))) is not None:
        try:
            _run(task, board, config["checkpoint_every_s"])
        except loop.Diverged as error:
            ray.get(board.post.remote(SegmentFailed(task, "DIVERGED", str(error))))
        except (MemoryError, torch.OutOfMemoryError) as error:
            ray.get(board.post.remote(SegmentFailed(task, "OOM", str(error))))
        except (OSError, checkpoint.BadCheckpoint):
            raise  # the disk or the network: Ray Train starts the worker again
        except Exception:  # deterministic, so trying again would not help
            ray.get(board.post.remote(SegmentFailed(task, "USER_ERROR", traceback.format_exc(limit=-3))))
        ray.get(board.finished.remote(config["lane"]))


def _run(task: Task, board: Any, checkpoint_every_s: float) -> None:
    spec = TrainSpec.model_validate_json(task.spec)
    device = ray.train.torch.get_device()
    dataset = spec.data.load().to(device)
    state = loop.start(spec, dataset, device)
    now = fingerprint(device)
    for manifest in finished(task):  # the worker that finished it may have died before its message arrived
        board.post.remote(GenerationDone(manifest.key, manifest.weights_sha256))
    if (resumed := _restore(task, state)) is not None and resumed.key in task.keys:
        board.post.remote(Resumed(resumed.key, resumed.epoch, bitwise=resumed.fingerprint == now))
    saved_at = time.monotonic()
    for row in loop.train(spec, state, dataset, generations=task.first + len(task.keys)):
        key = task.keys[row.generation - task.first]
        board.post.remote(EpochDone(key, asdict(row) | {"at": time.time()}))
        if state.epoch == spec.train.epochs:
            manifest = checkpoint.save(checkpoint_folder(task.storage, key), state, key, now)
            board.post.remote(GenerationDone(key, manifest.weights_sha256))
        elif time.monotonic() - saved_at >= checkpoint_every_s:
            with tempfile.TemporaryDirectory(prefix="relearn-") as aside:
                checkpoint.save(Path(aside) / "latest", state, key, now)
                latest = ray.train.Checkpoint.from_directory(os.path.join(aside, "latest"))
                ray.train.report({"generation": row.generation, "epoch": row.epoch}, checkpoint=latest)
            saved_at = time.monotonic()


def finished(task: Task) -> list[checkpoint.Manifest]:
    """The generations of the segment that are whole on shared storage, in order."""
    found = []
    for key in task.keys:
        with contextlib.suppress(checkpoint.BadCheckpoint):
            manifest = checkpoint.read_manifest(checkpoint_folder(task.storage, key))
            if manifest.key == key:
                found.append(manifest)
    return found


def _restore(task: Task, state: TrainState) -> checkpoint.Manifest | None:
    """Loads the furthest checkpoint of the segment that verifies: mid-generation, a finished generation, or the parent's."""
    found = [(each.generation, each.epoch, checkpoint_folder(task.storage, each.key)) for each in finished(task)]
    if (latest := ray.train.get_checkpoint()) is not None:
        with contextlib.suppress(checkpoint.BadCheckpoint):
            manifest = checkpoint.read_manifest(Path(latest.path))
            if manifest.key in task.keys:
                found.append((manifest.generation, manifest.epoch, Path(latest.path)))
    if found:
        return checkpoint.load(max(found)[2], state)
    return checkpoint.load(Path(task.parent), state) if task.parent else None
