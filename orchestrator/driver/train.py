"""The training of an attempt: its segments on the lanes of Ray Train."""

import logging
import queue
from collections.abc import Collection

from orchestrator import plan as planning
from orchestrator.cluster import board
from orchestrator.cluster import train as ray_train
from orchestrator.driver.attempt import Attempt
from orchestrator.plan import Segment
from orchestrator.states import Reason
from trainer import methods

log = logging.getLogger("relearn.driver")


def train(attempt: Attempt, leave_out: Collection[str]) -> None:
    """Trains every generation that is not done, but for those to `leave_out`."""
    todo = (
        {key for key, node in attempt.plan.nodes.items() if node.kind == "generation"}
        - attempt.done
        - attempt.failed.keys()
    )
    for key in [key for key in attempt.plan.nodes if key in todo]:
        if attempt.finished_on_disk(key) and attempt.claim(key):
            attempt.generation_done(key)
    todo -= attempt.done | set(leave_out)
    if not todo:
        return
    lanes: _Lanes | None = None
    opened, in_flight = 0, set[str]()
    while not attempt.stopping.is_set():
        left = todo - attempt.done - attempt.failed.keys()
        if not left:
            break
        claimed = [
            segment
            for segment in planning.segments(attempt.plan, left - in_flight)
            if (segment.parent is None or segment.parent in attempt.done) and attempt.claim_all(segment)
        ]
        if claimed and lanes is None:
            count = _lane_count(attempt, planning.segments(attempt.plan, left))
            if count == 0:
                wanted = attempt.spec.resources
                need = f"room for {wanted.workers} workers of {wanted.cpus} CPUs and {wanted.gpus:g} GPUs"
                attempt.fail(left, Reason.NO_CAPACITY, f"the Ray cluster has no {need}")
                return
            lanes = _Lanes(attempt, count, opened)
            opened += 1
        in_flight |= {node.key for segment in claimed for node in segment.nodes}
        if lanes is not None and in_flight & left:
            lanes.serve(claimed, left)
        else:  # all that is left another experiment is at: it gets the room that our lanes would hold
            if lanes is not None:
                lanes.close()
                lanes = None
            attempt.stopping.wait(0.5)
    if lanes is not None and not attempt.stopping.is_set():
        lanes.close()


class _Lanes:
    """The lanes of an attempt while it has work for them; opened again, they have another name."""

    def __init__(self, attempt: Attempt, count: int, opened: int) -> None:
        self._attempt, self._alive = attempt, count
        self._lost: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._lanes = ray_train.Lanes(
            f"{attempt.name}-again{opened}" if opened else attempt.name,
            count,
            attempt.spec.resources,
            attempt.settings.storage,
            on_lane_lost=lambda lane, why: self._lost.put((lane, why)),
        )
        self._lanes.start()

    def serve(self, segments: list[Segment], left: set[str]) -> None:
        """Offers `segments` and takes what the workers say; where all lanes are lost, what is `left` fails."""
        attempt = self._attempt
        if segments:
            self._lanes.offer([task_of(attempt, segment) for segment in segments])
        for message in self._lanes.drain(timeout_s=0.5):
            receive(attempt, message)
        while not self._lost.empty():
            lane, why = self._lost.get()
            self._alive -= 1
            if task := self._lanes.abandon(lane):
                attempt.fail_first(task.keys, Reason.WORKER_LOST, why)
            if self._alive == 0:
                attempt.fail(left - attempt.done - attempt.failed.keys(), Reason.WORKER_LOST, why)

    def close(self) -> None:
        """Lets the workers go home."""
        self._lanes.close()


def receive(attempt: Attempt, message: board.Message) -> None:
    """Takes what a worker says."""
    match message:
        case board.EpochDone(key, row):
            said = [attempt.said.pop(key)] if key in attempt.said else []
            attempt.store.add_epochs([{"key": key, **row, "warnings": [*row["warnings"], *said]}])
        case board.GenerationDone(key):
            attempt.generation_done(key)
        case board.SegmentFailed(task, reason, text):
            log.error("%s: %s", reason, text)
            attempt.fail_first(task.keys, reason, text)
        case board.LaneReady(lane):
            log.info("lane %d is up", lane)
        case board.Resumed(key, epoch, bitwise):
            how = "bitwise" if bitwise else "statistically: threads, device or torch changed"
            log.warning("%s resumed after epoch %d (%s)", attempt.plan.nodes[key].title, epoch, how)
            if not bitwise:
                attempt.said[key] = f"resumed after epoch {epoch} with other threads, device or torch: not bit for bit"


def task_of(attempt: Attempt, segment: Segment) -> board.Task:
    """The segment as its worker needs it."""
    first = segment.nodes[0]
    parent = str(attempt.checkpoint(segment.parent)) if segment.parent else None
    spec = attempt.spec.train_spec(attempt.spec.arm(first.arm), first.seed).model_dump_json()
    keys = tuple(node.key for node in segment.nodes)
    method = attempt.spec.arm(first.arm).method
    assert method is not None
    plugin = methods.PLUGINS.get(method.name)
    code = plugin.code_sha256 if plugin else None
    return board.Task(spec, first.generation, keys, parent, code, str(attempt.settings.storage))


def _lane_count(attempt: Attempt, chains: list[Segment]) -> int:
    """As many as can run at the same time: chains that nothing continues, and workers that the cluster can hold."""
    continued = {chain.parent for chain in chains}
    widest = sum(chain.key not in continued for chain in chains)
    return min(widest, ray_train.capacity(attempt.spec.resources))
