"""Records in the database that an attempt is alive, and ends the attempt once it is replaced, ended or cancelled."""

import os
import threading

from orchestrator.driver.attempt import Attempt
from orchestrator.states import TERMINAL, ExperimentState

HEARTBEAT_S = 5.0
"""Seconds between two heartbeats."""


def start(attempt: Attempt) -> None:
    """Starts the heartbeat in its own thread, which ends with the attempt."""
    threading.Thread(target=_beat, args=(attempt,), name="heartbeat", daemon=True).start()


def _beat(attempt: Attempt) -> None:
    while not attempt.stopping.is_set():
        state = attempt.store.heartbeat(attempt.experiment, attempt.number)
        if attempt.stopping.is_set():
            return
        if state is None or state in TERMINAL:  # a later attempt has begun, or the experiment has ended
            os._exit(3)  # immediately, without waiting for the other threads
        if state == ExperimentState.CANCELLING:
            attempt.stopping.set()
        attempt.stopping.wait(HEARTBEAT_S)
