"""Segments of generations on Ray Train, as the driver sees it.

A training slot is one TorchTrainer run whose worker (`cluster.train_worker`) trains segment after segment from the mailbox, a
small actor that the driver fills: starting a run costs about nine seconds, a further segment costs none. A worker that dies is
replaced by Ray Train, finds its unfinished segment in the mailbox again, and continues from the newest checkpoint on shared
storage that verifies; so does another attempt after the driver's death.
"""

import queue
import threading
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchTrainer

from orchestrator.checkpoints.folders import Folders
from orchestrator.cluster.mailbox import Mailbox, Message, SlotLost, SlotReady
from orchestrator.cluster.payloads import Task
from orchestrator.cluster.train_worker import serve
from orchestrator.plan.capacity import worker_capacity
from orchestrator.spec import Resources


def slot_capacity(resources: Resources) -> int:
    """How many training slots, each of `resources.workers` workers, the cluster can hold at once."""
    return worker_capacity([node["Resources"] for node in ray.nodes() if node["Alive"]], resources) // resources.workers


class TrainingSlots:
    """The training slots of one attempt, from `start` to `close`; `name` names their runs and must be new to Ray.

    Its methods are for one thread. Each slot waits for its run in a thread of its own, which reports through a queue.
    """

    def __init__(self, name: str, count: int, resources: Resources, folders: Folders) -> None:
        self._name, self._count, self._resources, self._folders = name, count, resources, folders
        self._may_start = [threading.Event() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._fit, args=(slot,), name=f"slot-{slot}", daemon=True) for slot in range(count)
        ]
        self._gone: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._alive = count
        self._closed = False
        self.lost: str | None = None
        """Why Ray gave up the last slot; None while one is left."""

    def start(self) -> None:
        """Starts the mailbox and one run per slot, each once the one before is up: together they would all be late."""
        self._mailbox_name = f"mailbox-{self._name}"
        self._mailbox = ray.remote(Mailbox).options(name=self._mailbox_name, num_cpus=0).remote()
        self._let_start(0)
        for thread in self._threads:
            thread.start()

    def offer(self, tasks: list[Task]) -> None:
        """Has `tasks` trained, in this order, by whichever slots are free."""
        ray.get(self._mailbox.offer.remote(tasks))

    def drain(self, timeout_s: float) -> list[Message]:
        """What has happened since the last call, waiting up to `timeout_s` seconds for it."""
        lost: list[Message] = []
        while not self._gone.empty():
            slot, why = self._gone.get()
            self._alive -= 1
            self.lost = why if self._alive == 0 else None
            lost.append(SlotLost(slot, ray.get(self._mailbox.abandon.remote(slot)), why))
        messages: list[Message] = ray.get(self._mailbox.drain.remote(timeout_s))
        for message in messages:
            if isinstance(message, SlotReady):
                self._let_start(message.slot + 1)
        return messages + lost  # what a slot finished before it was lost comes first

    def close(self) -> None:
        """Ends the workers once nothing is left to train, and waits for their runs to end."""
        ray.get(self._mailbox.close.remote())
        self._closed = True
        for slot in range(self._count):
            self._let_start(slot)
        for thread in self._threads:
            thread.join()
        ray.kill(self._mailbox)

    def _let_start(self, slot: int) -> None:
        if slot < self._count:
            self._may_start[slot].set()

    def _fit(self, slot: int) -> None:
        self._may_start[slot].wait()
        if self._closed:
            return
        try:
            self._trainer(slot).fit()
        except Exception as error:  # Ray Train wraps whatever ended the run, and a thread must not end silently
            self._gone.put((slot, f"{type(error).__name__}: {error}"))
        finally:
            self._let_start(slot + 1)

    def _trainer(self, slot: int) -> Any:
        resources = self._resources
        use_gpu = resources.gpus > 0
        per_worker = {"CPU": float(resources.cpus)} | ({"GPU": resources.gpus} if use_gpu else {})
        return TorchTrainer(
            serve,
            train_loop_config={
                "mailbox": self._mailbox_name,
                "slot": slot,
                "threads": resources.threads,
                "checkpoint_every_s": resources.checkpoint_every_s,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=resources.workers, use_gpu=use_gpu, resources_per_worker=per_worker
            ),
            run_config=ray.train.RunConfig(
                name=f"{self._name}-lane{slot}",
                storage_path=str(self._folders.ray),
                failure_config=ray.train.FailureConfig(max_failures=resources.max_worker_failures),
            ),
        )
