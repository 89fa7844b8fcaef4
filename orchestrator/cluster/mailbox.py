"""The mailbox between the driver and its training slots: tasks one way, messages the other.

It imports neither torch nor ray, so the process of its actor starts at once.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.payloads import Task
from orchestrator.states import Reason


@dataclass(frozen=True)
class EpochDone:
    """An epoch of generation `key` is trained; `row` is what was measured, as the store takes it."""

    key: str
    row: dict[str, Any]


@dataclass(frozen=True)
class GenerationDone:
    """The checkpoint of generation `key` is whole on shared storage."""

    key: str
    weights_sha256: str


@dataclass(frozen=True)
class SegmentFailed:
    """The first generation of `task` that is not done cannot be trained, however often it is tried."""

    task: Task
    reason: Reason
    message: str


@dataclass(frozen=True)
class Resumed:
    """A worker continued `key` from a saved epoch; `bitwise` is False where threads, device or library changed since."""

    key: str
    epoch: int
    bitwise: bool


@dataclass(frozen=True)
class SlotReady:
    """The worker of training slot `slot` is up and takes tasks."""

    slot: int


@dataclass(frozen=True)
class SlotLost:
    """Ray gave training slot `slot` up, for the reason `why`; `task` is what it was training, if anything."""

    slot: int
    task: Task | None
    why: str


Message = EpochDone | GenerationDone | SegmentFailed | Resumed | SlotReady | SlotLost


class Mailbox:
    """Tasks for the training slots and messages for the driver (made a Ray actor by `cluster.train.TrainingSlots`)."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._taken: dict[int, tuple[int, Task]] = {}
        """By slot: the task that it trains, after the number of that task in the order of taking."""
        self._count = 0
        self._gone: set[int] = set()
        self._messages: list[Message] = []
        self._closed = False
        self._changed = asyncio.Condition()

    async def offer(self, tasks: list[Task]) -> None:
        """Adds tasks that any slot may take."""
        async with self._changed:
            self._tasks.extend(tasks)
            self._changed.notify_all()

    async def close(self) -> None:
        """Ends every slot once it has nothing left to train."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self, slot: int) -> Task | None:
        """The slot's unfinished task, else the next one; waits for it, and returns None when the mailbox is closed."""
        if slot in self._taken:
            return self._taken[slot][1]
        async with self._changed:
            # Ray goes on with the call of a worker that died, which may be served before the call of its replacement:
            # the slot keeps the task, so both get the same one
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
        """For the further workers of a slot: the task that its first took after the one numbered `after`; None at the end."""

        def there() -> bool:
            return self._taken.get(slot, (0,))[0] > after

        async with self._changed:
            await self._changed.wait_for(lambda: there() or (self._closed and not self._tasks))
            return self._taken[slot] if there() else None

    async def finished(self, slot: int) -> Task | None:
        """Takes the slot's task from it, trained well or badly, and returns that task."""
        _, task = self._taken.pop(slot, (0, None))
        return task

    async def abandon(self, slot: int) -> Task | None:
        """Notes that the slot will not come back; returns the task that it was training."""
        self._gone.add(slot)
        return await self.finished(slot)

    async def post(self, message: Message) -> None:
        """Leaves a message for the driver."""
        async with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    async def drain(self, timeout_s: float) -> list[Message]:
        """All messages since the last call, waiting up to `timeout_s` for the first."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: bool(self._messages)), timeout_s)
            except TimeoutError:
                return []
            messages, self._messages = self._messages, []
            return messages
