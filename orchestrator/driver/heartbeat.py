"""Records that an attempt is alive, and ends it when somebody else has."""

import os
import threading

from orchestrator.driver.attempt import Attempt
from orchestrator.states import TERMINAL, ExperimentState

HEARTBEAT_S = 5.0


def start(attempt: Attempt) -> None:
    """Begins in a thread of its own, which ends with the attempt."""
    threading.Thread(target=_beat, args=(attempt,), name="heartbeat", daemon=True).start()


def _beat(attempt: Attempt) -> None:
    while not attempt.stopping.is_set():
        state = attempt.store.heartbeat(attempt.experiment, attempt.number)
        if attempt.stopping.is_set():
            return
        if state is None or state in TERMINAL:  # a later attempt has begun, or the experiment has ended
            os._exit(3)  # at once, whatever the other threads are doing
        if state == ExperimentState.CANCELLING:
            attempt.stopping.set()
        attempt.stopping.wait(HEARTBEAT_S)
