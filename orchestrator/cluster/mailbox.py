"""The mailbox that carries tasks from the driver to its training slots, and messages back.

This module imports neither torch nor ray, so the process of its actor starts quickly.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.payloads import Task
from orchestrator.states import Reason


@dataclass(frozen=True)
class EpochDone:
    """An epoch of generation `key` is trained. `row` holds its measurements, in the form that the store accepts."""

    key: str
    row: dict[str, Any]


@dataclass(frozen=True)
class GenerationDone:
    """The checkpoint of generation `key` is complete on shared storage."""

    key: str
    weights_sha256: str


@dataclass(frozen=True)
class SegmentFailed:
    """The first generation of `task` that is not done cannot be trained, and trying again would not help."""

    task: Task
    reason: Reason
    message: str


@dataclass(frozen=True)
class Resumed:
    """A worker resumed generation `key` after `epoch` epochs.

    `bitwise` is False if threads, device or torch changed since the checkpoint, so that bits may differ.
    """

    key: str
    epoch: int
    bitwise: bool


@dataclass(frozen=True)
class SlotReady:
    """The worker of training slot `slot` has started and accepts tasks."""

    slot: int


@dataclass(frozen=True)
class SlotLost:
    """Ray gave up training slot `slot` for the reason `why`. `task` is what it was training, if anything."""

    slot: int
    task: Task | None
    why: str


Message = EpochDone | GenerationDone | SegmentFailed | Resumed | SlotReady | SlotLost


class Mailbox:
    """Holds tasks for the training slots and messages for the driver.

    `cluster.train.TrainingSlots` and `cluster.search` run it as a Ray actor.
    """

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._taken: dict[int, tuple[int, Task]] = {}
        """For each slot: the number of its current task, counted from 1 in the order of taking, and the task."""
        self._count = 0
        self._gone: set[int] = set()
        self._messages: list[Message] = []
        self._closed = False
        self._changed = asyncio.Condition()

    async def offer(self, tasks: list[Task]) -> None:
        """Adds tasks, each of which any slot may take."""
        async with self._changed:
            self._tasks.extend(tasks)
            self._changed.notify_all()

    async def close(self) -> None:
        """Closes the mailbox, so that every slot ends once no task is left."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self, slot: int) -> Task | None:
        """Returns the slot's unfinished task, or else the next one, waiting until there is one.

        Returns None once the mailbox is closed and empty.
        """
        if slot in self._taken:
            return self._taken[slot][1]
        async with self._changed:
            # Ray does not cancel the call of a worker that died, and may serve it before the call of its replacement.
            # The slot keeps the task, so both get the same one.
            await self._changed.wait_for(lambda: slot in self._taken or self._tasks or self._closed)
            if slot in self._taken:
                return self._taken[slot][1]
            if not self._tasks or slot in self._gone:
                return None
            self._count += 1
            self._taken[slot] = self._count, self._tasks.popleft()
            self._changed.notify_all()
            return self._taken[slot][1]

    async def follow(self, slot: int, after: int) -> tuple[int, Task] | None:
        """Returns the number and the task that the slot's first worker took after task number `after`.

        The other workers of the slot call it to train the same tasks. Returns None when there will be no further task.
        """

        def taken() -> bool:
            return self._taken.get(slot, (0,))[0] > after

        async with self._changed:
            await self._changed.wait_for(lambda: taken() or (self._closed and not self._tasks))
            return self._taken[slot] if taken() else None

    async def finished(self, slot: int) -> Task | None:
        """Removes and returns the slot's task, whether its training succeeded or failed."""
        _, task = self._taken.pop(slot, (0, None))
        return task

    async def abandon(self, slot: int) -> Task | None:
        """Closes the slot for good, and returns the task that it was training, if any."""
        self._gone.add(slot)
        return await self.finished(slot)

    async def post(self, message: Message) -> None:
        """Adds a message for the driver."""
        async with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    async def drain(self, timeout_s: float) -> list[Message]:
        """Returns all messages since the last call, waiting up to `timeout_s` seconds for the first."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: bool(self._messages)), timeout_s)
            except TimeoutError:
                return []
            messages, self._messages = self._messages, []
            return messages
