"""The driver's side of training segments of generations on Ray Train.

A training slot is one TorchTrainer run. Its worker (`cluster.train_worker`) trains one segment after another from the
mailbox, a small actor that the driver fills. Starting a run takes about nine seconds, and a further segment in the
same run starts at once. When a worker dies, Ray Train replaces it. The new worker gets the unfinished segment from
the mailbox again, and continues from the newest checkpoint on shared storage that verifies. After the death of a
driver, the next attempt continues in the same way.
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
    """Returns how many training slots, each of `resources.workers` workers, the cluster has capacity for."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return worker_capacity(alive, resources) // resources.workers


class TrainingSlots:
    """The training slots of one attempt, from `start` to `close`.

    `name` is part of the names of their Ray Train runs, and must not have been used before. All methods must be
    called from the same thread. Each slot waits for its run in a thread of its own, which reports through a queue.
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
        """The reason why Ray gave up the last slot; None while a slot is left."""

    def start(self) -> None:
        """Starts the mailbox and one run per slot.

        Each run starts once the one before is ready, because runs that start together delay each other.
        """
        self._mailbox_name = f"mailbox-{self._name}"
        self._mailbox = ray.remote(Mailbox).options(name=self._mailbox_name, num_cpus=0).remote()
        self._let_start(0)
        for thread in self._threads:
            thread.start()

    def offer(self, tasks: list[Task]) -> None:
        """Queues `tasks`, which the free slots train in this order."""
        ray.get(self._mailbox.offer.remote(tasks))

    def drain(self, timeout_s: float) -> list[Message]:
        """Returns all messages since the last call, waiting up to `timeout_s` seconds for the first."""
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
        return messages + lost  # the generations that a slot finished before it was lost have to come first

    def close(self) -> None:
        """Ends the workers once no task is left, and waits for their runs to end."""
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
        except Exception as error:  # Ray Train may wrap any error of the run, and a thread must not end silently
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
