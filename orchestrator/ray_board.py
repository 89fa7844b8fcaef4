"""The board between driver and lanes: tasks one way, messages the other. It imports no torch, so its process starts at once."""

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """A segment as its worker needs it. `keys` are the node keys of generations `first`, `first + 1`, ..."""

    spec: str
    first: int
    keys: tuple[str, ...]
    parent: str | None
    """Directory of the checkpoint that the first generation continues."""
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
    reason: str
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


def checkpoint_folder(storage: str | Path, key: str) -> Path:
    """Where the checkpoint of generation node `key` is left until it is committed."""
    return Path(storage) / "checkpoints" / key


class Board:
    """Tasks for the lanes and messages for the driver (made a Ray actor by `ray_train.Lanes`)."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._taken: dict[int, Task] = {}
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
            return self._taken[lane]
        async with self._changed:
            await self._changed.wait_for(lambda: self._tasks or self._closed)
            if not self._tasks:
                return None
            self._taken[lane] = self._tasks.popleft()
            return self._taken[lane]

    async def finished(self, lane: int) -> Task | None:
        """The lane is done with its task, well or badly; returns that task."""
        return self._taken.pop(lane, None)

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
