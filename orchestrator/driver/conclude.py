"""Records the outcome of an experiment, and removes from disk what is no longer needed."""

import shutil
from collections.abc import Collection

from orchestrator.driver.attempt import Attempt
from orchestrator.results.failures import failures
from orchestrator.states import ExperimentState, Reason

SHOWN = 3
"""The number of arms whose first failure the message of an experiment gives."""


def conclude(attempt: Attempt, excused: Collection[str]) -> None:
    """Releases the nodes that were skipped or given up, records the outcome, and cleans up.

    The failure of a node whose key is in `excused` does not fail the experiment.
    """
    store, failed = attempt.store, attempt.ledger.failed
    skipped = [key for key, reason in failed.items() if reason == Reason.DEPENDENCY]
    store.release(attempt.experiment, {*skipped, *attempt.ledger.given_up})
    if counted := {key: reason for key, reason in failed.items() if key not in excused}:
        reason = next((each for each in counted.values() if each != Reason.DEPENDENCY), Reason.DEPENDENCY)
        message = f"{len(counted)} of {len(attempt.plan.nodes)} nodes failed or were skipped; the rest is complete"
        uses = [use for use in store.uses_of(attempt.experiment) if use.key in counted]
        why = failures(uses, store.nodes_of(attempt.experiment))
        message += "".join(f"; {each['arm']}: {each['message']}" for each in why[:SHOWN])
        if len(why) > SHOWN:
            message += f"; and {len(why) - SHOWN} more arms"
        store.move(attempt.experiment, ExperimentState.FAILED, attempt=attempt.number, reason=reason, message=message)
    else:
        store.move(attempt.experiment, ExperimentState.SUCCEEDED, attempt=attempt.number)
    _clean_up(attempt)


def _clean_up(attempt: Attempt) -> None:
    """Removes the working copies of committed checkpoints that no other experiment waits for, and Ray's files."""
    for key in attempt.ledger.committed() - attempt.store.needed_by_others(attempt.experiment):
        if attempt.plan.nodes[key].kind != "evaluation":
            for folder in attempt.folders.working_copies(key):
                shutil.rmtree(folder, ignore_errors=True)
    for scratch in attempt.folders.ray.glob(f"{attempt.spec.name}-{attempt.experiment}-*"):
        shutil.rmtree(scratch, ignore_errors=True)
