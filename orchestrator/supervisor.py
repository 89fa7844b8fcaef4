"""Compares the database with Ray every second, and starts, retries or ends the attempts of experiments.

An unreachable cluster never counts as a failure. An attempt ends only if Ray reports that its job has ended, or if Ray
does not know the job and the attempt sends no more heartbeats. The supervisor also sets the final status of the runs in
the tracking server.
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
"""An attempt that Ray does not know has ended if it sent no heartbeat for this many seconds."""
MAX_ATTEMPTS = 5
"""The number of attempts after which an experiment fails."""
TICK_S = 1.0
"""The seconds between two comparisons."""
_SUBMITTED = (ExperimentState.STARTING, ExperimentState.RECOVERING)
"""The states of an attempt whose driver has not reported yet."""


class Executor(Protocol):
    """The cluster that runs the attempts (`orchestrator.cluster.jobs`)."""

    def submit(self, experiment: str, name: str, attempt: int) -> None: ...
    def state(self, experiment: str, attempt: int) -> JobState: ...
    def why(self, experiment: str, attempt: int) -> str: ...
    def stop(self, experiment: str, attempt: int) -> None: ...


class Supervisor:
    """The supervisor of an installation, which must have only one.

    `tick()` compares once and `conclude()` publishes once. `start()` repeats both, each in its own thread, so that a
    tracking server that hangs does not delay a start, a cancellation or a recovery.
    """

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
        """Whether the thread that compares is running."""
        return self._comparing.is_alive()

    def start(self) -> None:
        """Starts both threads."""
        self._comparing.start()
        self._concluding.start()

    def wake(self) -> None:
        """Starts the next comparison at once."""
        self._compare_now.set()

    def end(self) -> None:
        """Stops the supervisor. Running experiments are not affected."""
        self._ending.set()
        self._compare_now.set()
        self._conclude_now.set()
        if self._comparing.is_alive():
            self._comparing.join()

    def tick(self) -> None:
        """Compares the database with Ray once. Raises a member of UNREACHABLE if the cluster does not answer."""
        for experiment in self._store.experiments(LIVE):
            self._compare(experiment)
        free = self._max_running - len(self._store.experiments(LIVE))
        for experiment in list(reversed(self._store.experiments([ExperimentState.QUEUED])))[: max(free, 0)]:
            self._begin_attempt(experiment, ExperimentState.STARTING)

    def conclude(self) -> None:
        """Sets the final status of the runs of every experiment that has ended.

        Experiments that cannot be published now are left for the next call.
        """
        for experiment in self._store.unpublished():
            # importing mlflow takes two seconds, which would delay the start of the API
            from orchestrator.tracking.mlflow import OUTAGE, Tracker

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
                log.warning("the cluster does not answer, will try again: %s", error)
            except Exception:  # an unexpected error must not end the thread
                log.exception("an unexpected error, will try again")
            now.wait(TICK_S)
            now.clear()

    def _compare(self, experiment: Experiment) -> None:
        identity, attempt = experiment.id, experiment.attempt
        state = self._executor.state(identity, attempt)
        silent = self._now() - (experiment.alive_at or 0) > LEASE_S
        over = state == "ENDED" or (state == "UNKNOWN" and silent)
        current = self._store.experiment(identity)
        if current is None or current.state not in LIVE:
            return  # its driver recorded the outcome while Ray was asked
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
                self._begin_attempt(experiment, ExperimentState.RECOVERING)

    def _begin_attempt(self, experiment: Experiment, state: ExperimentState) -> None:
        """Begins the next attempt of the experiment, which is then in `state`, and submits it."""
        attempt = self._store.start_attempt(experiment.id, state)
        if attempt is not None:
            self._executor.submit(experiment.id, experiment.name, attempt)
