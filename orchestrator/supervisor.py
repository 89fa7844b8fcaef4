"""Compares the database with Ray, at the start and every few seconds, and starts, retries or ends what differs.

"Cannot reach it" is never "it failed": only Ray's own word that a job ended, or its not knowing a job whose attempt has
stopped saying that it lives, ends an attempt. It also sets the final status of runs in the tracking server.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from pydantic import ValidationError

from orchestrator.cluster.jobs import UNREACHABLE, JobState
from orchestrator.spec import ExperimentSpec
from orchestrator.states import LIVE, ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from orchestrator.tracking.publisher import Publisher

log = logging.getLogger("relearn.supervisor")

LEASE_S = 30.0
"""An attempt that Ray does not know and that has been silent for so long is over."""
MAX_ATTEMPTS = 5
TICK_S = 1.0
_SUBMITTED = (ExperimentState.STARTING, ExperimentState.RECOVERING)
"""States of an attempt whose driver has not reported yet."""


class Executor(Protocol):
    """Where attempts run (`ray_cluster.Cluster`)."""

    def submit(self, experiment: str, name: str, attempt: int) -> None: ...
    def state(self, experiment: str, attempt: int) -> JobState: ...
    def why(self, experiment: str, attempt: int) -> str: ...
    def stop(self, experiment: str, attempt: int) -> None: ...


class Supervisor:
    """One per installation. `tick()` compares once and `conclude()` publishes once; `start()` does both for ever, in threads
    of their own, so that a tracking server that hangs delays no start, cancel or recovery."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        tracking_uri: str,
        max_running: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._executor, self._tracking_uri = store, executor, tracking_uri
        self._max_running, self._now = max_running, now
        self._ending = threading.Event()
        self._compare_now, self._conclude_now = threading.Event(), threading.Event()
        self._comparing = threading.Thread(
            target=self._repeat, args=(self.tick, self._compare_now), name="compare", daemon=True
        )
        self._concluding = threading.Thread(
            target=self._repeat, args=(self.conclude, self._conclude_now), name="conclude", daemon=True
        )

    @property
    def alive(self) -> bool:
        return self._comparing.is_alive()

    def start(self) -> None:
        self._comparing.start()
        self._concluding.start()

    def wake(self) -> None:
        """Makes the next comparison happen now."""
        self._compare_now.set()

    def end(self) -> None:
        """Stops comparing; running experiments go on."""
        self._ending.set()
        self._compare_now.set()
        self._conclude_now.set()
        if self._comparing.is_alive():
            self._comparing.join()

    def tick(self) -> None:
        """One comparison. Raises a member of UNREACHABLE where the cluster does not answer."""
        for experiment in self._store.experiments(LIVE):
            self._tend(experiment)
        free = self._max_running - len(self._store.experiments(LIVE))
        for experiment in list(reversed(self._store.experiments([ExperimentState.QUEUED])))[: max(free, 0)]:
            self._attempt(experiment, ExperimentState.STARTING)

    def conclude(self) -> None:
        """Sets the final status of the runs of every experiment that has ended; what cannot be now is tried again."""
        for experiment in self._store.unpublished():
            from orchestrator.tracking.mlflow import (  # mlflow: two seconds that the API's start need not wait for
                OUTAGE,
                Tracker,
            )

            try:
                spec = ExperimentSpec.model_validate_json(json.dumps(experiment.spec))
                Publisher(self._store, Tracker(self._tracking_uri), experiment, spec).conclude()
            except OUTAGE as error:
                log.warning("%s: the tracking server does not answer, will try again: %s", experiment.id, error)
            except ValidationError as error:
                log.error("%s: its spec is no longer valid, so it stays unpublished: %s", experiment.id, error)
                self._store.set_published(experiment.id)

    def _repeat(self, work: Callable[[], None], now: threading.Event) -> None:
        while not self._ending.is_set():
            try:
                work()
            except UNREACHABLE as error:
                log.warning("will look again: %s", error)
            except Exception:  # an unforeseen error must not end supervision for good
                log.exception("will look again")
            now.wait(TICK_S)
            now.clear()

    def _tend(self, experiment: Experiment) -> None:
        identity, attempt = experiment.id, experiment.attempt
        state = self._executor.state(identity, attempt)
        silent = self._now() - (experiment.alive_at or 0) > LEASE_S
        over = state == "ENDED" or (state == "UNKNOWN" and silent)
        current = self._store.experiment(identity)
        if current is None or current.state not in LIVE:
            return  # its driver recorded the outcome while we asked
        if current.state == ExperimentState.CANCELLING:
            if over or attempt == 0:
                self._store.release(identity)
                self._store.move(identity, ExperimentState.CANCELLED)
            elif state == "RUNNING":
                self._executor.stop(identity, attempt)
        elif state == "UNKNOWN" and experiment.state in _SUBMITTED:
            self._executor.submit(identity, experiment.name, attempt)
        elif over:
            why = self._executor.why(identity, attempt) if state == "ENDED" else "Ray does not know the job any more"
            log.warning("%s: attempt %d is over without an outcome (%s)", identity, attempt, why)
            self._store.release(identity)
            if attempt >= MAX_ATTEMPTS:
                message = f"{attempt} attempts ended without an outcome; the last: {why}"
                self._store.move(identity, ExperimentState.FAILED, reason=Reason.WORKER_LOST, message=message[:4000])
            else:
                self._attempt(experiment, ExperimentState.RECOVERING)

    def _attempt(self, experiment: Experiment, state: ExperimentState) -> None:
        attempt = self._store.start_attempt(experiment.id, state)
        if attempt is not None:
            self._executor.submit(experiment.id, experiment.name, attempt)
