"""The board between driver and lanes: tasks one way, messages the other. It imports no torch, so its process starts at once."""

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.states import Reason


@dataclass(frozen=True)
class Task:
    """A segment as its worker needs it. `keys` are the node keys of generations `first`, `first + 1`, ..."""

    spec: str
    first: int
    keys: tuple[str, ...]
    parent: str | None
    """Directory of the checkpoint that the first generation continues."""
    code_sha256: str | None
    """Of the installed package that the method is of; None for our own."""
    storage: str
    """Folder, shared by all nodes, where finished generations are left under their key."""


@dataclass(frozen=True)
class EpochDone:
    key: str
    row: dict[str, Any]


@dataclass(frozen=True)
class GenerationDone:
    key: str
    weights_sha256: str


@dataclass(frozen=True)
class SegmentFailed:
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
class LaneReady:
    """The lane's worker is up and takes tasks."""

    lane: int


Message = EpochDone | GenerationDone | SegmentFailed | Resumed | LaneReady


def progress_folder(storage: str | Path, key: str) -> Path:
    """Where a generation node's checkpoints are left while it is being trained."""
    return Path(storage) / "progress" / key


def checkpoint_folder(storage: str | Path, key: str) -> Path:
    """Where the checkpoint of generation node `key` is left until it is committed."""
    return Path(storage) / "checkpoints" / key


class Board:
    """Tasks for the lanes and messages for the driver (made a Ray actor by `ray_train.Lanes`)."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._taken: dict[int, tuple[int, Task]] = {}
        """By lane: the task it is at, and how many tasks had been taken before."""
        self._count = 0
        self._gone: set[int] = set()
        self._messages: list[Message] = []
        self._closed = False
        self._changed = asyncio.Condition()

    async def offer(self, tasks: list[Task]) -> None:
        """Adds tasks that any lane may take."""
        async with self._changed:
            self._tasks.extend(tasks)
            self._changed.notify_all()

    async def close(self) -> None:
        """Sends every lane home once it is free."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self, lane: int) -> Task | None:
        """The lane's unfinished task, else the next one; waits for it, and gives None when the board is closed."""
        if lane in self._taken:
            return self._taken[lane][1]
        async with self._changed:
            # a worker that died here still waits, and may be served before the one that took its place: the lane keeps the task
            await self._changed.wait_for(lambda: lane in self._taken or self._tasks or self._closed)
            if lane in self._taken:
                return self._taken[lane][1]
            if not self._tasks or lane in self._gone:
                return None
            self._count += 1
            self._taken[lane] = self._count, self._tasks.popleft()
            self._changed.notify_all()
            return self._taken[lane][1]

    async def follow(self, lane: int, after: int) -> tuple[int, Task] | None:
        """For a lane's further workers: the task that its first one took after the one numbered `after`; None at the end."""

        def there() -> bool:
            return self._taken.get(lane, (0,))[0] > after

        async with self._changed:
            await self._changed.wait_for(lambda: there() or (self._closed and not self._tasks))
            return self._taken[lane] if there() else None

    async def finished(self, lane: int) -> Task | None:
        """The lane is done with its task, well or badly; returns that task."""
        _, task = self._taken.pop(lane, (0, None))
        return task

    async def abandon(self, lane: int) -> Task | None:
        """The lane will not come back; returns the task that it was at."""
        self._gone.add(lane)
        return await self.finished(lane)

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
