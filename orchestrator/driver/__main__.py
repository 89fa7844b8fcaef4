"""One attempt at one experiment, run as a Ray Job: `python -m orchestrator.driver EXPERIMENT ATTEMPT`.

It trains what is not trained, evaluates what is not evaluated, and writes everything to the database as it happens. It can
be killed anywhere: the next attempt asks the database what is done and does the rest.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import threading

from orchestrator.cluster import board, jobs
from orchestrator.driver import train
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.import_weights import bring_all_in
from orchestrator.plan.search import Trials
from orchestrator.settings import Settings
from orchestrator.states import TERMINAL, ExperimentState, NodeState, Reason
from orchestrator.store import Store

HEARTBEAT_S = 5.0


def run(attempt: Attempt) -> None:
    """Does everything that is left, then records how the experiment ended."""
    if not attempt.store.move(attempt.experiment, ExperimentState.RUNNING, attempt=attempt.number):
        return  # cancelled meanwhile, or a later attempt has begun
    threading.Thread(target=_tend, args=(attempt,), name="tend", daemon=True).start()
    attempt.committer.start()
    trials = Trials(attempt.spec) if attempt.spec.search else None
    _look_elsewhere(attempt)
    train.train(attempt, leave_out=trials.own(attempt.plan) if trials else ())
    from orchestrator.driver import evaluate, search  # Ray Tune: seconds that training need not wait for

    if trials is not None:
        search.search(attempt, trials)
    bring_all_in(attempt)
    evaluate.judge(attempt)
    attempt.committer.finish()
    if attempt.stopping.is_set():
        return
    attempt.stopping.set()  # the work is done: from here on nothing may end this process before it has cleaned up
    excused = trials.excused(attempt.plan, attempt.failed, search.objectives(attempt, trials)) if trials else set()
    _conclude(attempt, excused)
    _clean_up(attempt)


def _look_elsewhere(attempt: Attempt) -> None:
    """Fails what only an earlier experiment could make, and is not there any more."""
    for key, node in attempt.plan.nodes.items():
        if node.elsewhere and key not in attempt.done:
            attempt.fail(
                {key},
                Reason.DEPENDENCY,
                f"the checkpoint of {node.title} was removed since this was posted: train it again",
            )


def _conclude(attempt: Attempt, excused: set[str]) -> None:
    """Puts back what was not made, and records the outcome; what is `excused` may have failed."""
    skipped = [key for key, reason in attempt.failed.items() if reason == Reason.DEPENDENCY]
    attempt.store.release(attempt.experiment, {*skipped, *attempt.given_up})
    if failed := {key: reason for key, reason in attempt.failed.items() if key not in excused}:
        reason = next((each for each in failed.values() if each != Reason.DEPENDENCY), Reason.DEPENDENCY)
        message = f"{len(failed)} of {len(attempt.plan.nodes)} nodes failed or were skipped; the rest is complete"
        attempt.store.move(
            attempt.experiment, ExperimentState.FAILED, attempt=attempt.number, reason=reason, message=message
        )
    else:
        attempt.store.move(attempt.experiment, ExperimentState.SUCCEEDED, attempt=attempt.number)


def _clean_up(attempt: Attempt) -> None:
    """Removes the working copies of what is committed and nobody else waits for, and Ray's scratch."""
    storage, needed = attempt.settings.storage, attempt.store.needed_by_others(attempt.experiment)
    for key, node in attempt.nodes().items():
        if node.kind != "evaluation" and node.state == NodeState.SUCCEEDED and key not in needed:
            shutil.rmtree(board.checkpoint_folder(storage, key), ignore_errors=True)
            shutil.rmtree(board.progress_folder(storage, key), ignore_errors=True)
            shutil.rmtree(storage / "fetched" / key, ignore_errors=True)
    for scratch in (storage / "ray").glob(f"{attempt.spec.name}-{attempt.experiment}-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _tend(attempt: Attempt) -> None:
    """Says that this attempt lives; leaves at once when a later attempt has taken over."""
    while not attempt.stopping.is_set():
        state = attempt.store.heartbeat(attempt.experiment, attempt.number)
        if attempt.stopping.is_set():
            return
        if state is None or state in TERMINAL:
            os._exit(3)  # at once, whatever the other threads are at
        if state == ExperimentState.CANCELLING:
            attempt.stopping.set()
        attempt.stopping.wait(HEARTBEAT_S)


def main() -> int:
    """0 when the attempt ran to an outcome or was stopped on purpose."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.driver", description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment")
    parser.add_argument("attempt", type=int)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    jobs.connect()
    settings = Settings.from_environment()
    try:
        attempt = Attempt(settings, options.experiment, options.attempt)
    except ValueError as error:
        Store(settings.database_url).move(
            options.experiment,
            ExperimentState.FAILED,
            attempt=options.attempt,
            reason=Reason.USER_ERROR,
            message=str(error),
        )
        raise
    # Ray installs handlers of its own when it connects, so ours come after it
    signal.signal(signal.SIGTERM, lambda *_: attempt.leave())
    run(attempt)
    return 0


if __name__ == "__main__":
    sys.exit(main())
