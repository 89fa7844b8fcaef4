"""Processes the reports that workers send while they train."""

import logging
from functools import partial

from orchestrator.cluster.mailbox import (
    EpochDone,
    GenerationDone,
    Message,
    Resumed,
    SegmentFailed,
    SlotLost,
    SlotReady,
)
from orchestrator.driver.attempt import Attempt
from orchestrator.states import Reason

log = logging.getLogger("relearn.driver")


def commit_generation(attempt: Attempt, key: str) -> None:
    """Hands a generation to the committer. Its checkpoint must be complete on shared storage.

    Does nothing if the generation is done already or not claimed by this attempt.
    """
    attempt.ledger.finish(key, partial(attempt.committer.add, attempt.plan.nodes[key]))


class WorkerReports:
    """Processes the reports of one attempt's workers, in the driver's main thread."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._pending_warnings: dict[str, str] = {}
        """For each generation, by key: a warning to store with its next epoch."""

    def take(self, message: Message) -> None:
        """Stores an epoch, hands a finished generation to the committer, or fails what cannot be trained."""
        attempt, ledger = self._attempt, self._attempt.ledger
        match message:
            case EpochDone(key, row):
                pending = [self._pending_warnings.pop(key)] if key in self._pending_warnings else []
                attempt.store.add_epochs([{"key": key, **row, "warnings": [*row["warnings"], *pending]}])
            case GenerationDone(key):
                commit_generation(attempt, key)
            case SegmentFailed(task, reason, text):
                log.error("%s: %s", reason, text)
                ledger.fail_first(task.keys, reason, text)
            case SlotReady(slot):
                log.info("training slot %d is up", slot)
            case SlotLost(_, task, why):
                if task is not None:
                    ledger.fail_first(task.keys, Reason.WORKER_LOST, why)
            case Resumed(key, epoch, bitwise):
                how = "bitwise" if bitwise else "statistically: threads, device or torch changed"
                log.warning("%s resumed after epoch %d (%s)", attempt.plan.nodes[key].title, epoch, how)
                if not bitwise:
                    self._pending_warnings[key] = (
                        f"resumed after epoch {epoch} with other threads, device or torch: not bit for bit"
                    )
