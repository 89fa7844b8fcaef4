"""Runs each attempt at an experiment as one Ray Job, which is found again by its submission id.

The cluster is disposable: everything that has to survive its restart is in the database.
"""

import json
import logging
import sys
from typing import Literal

import ray
import requests
from ray.job_submission import JobStatus, JobSubmissionClient

JobState = Literal["RUNNING", "ENDED", "UNKNOWN"]

UNREACHABLE = (ConnectionError, RuntimeError, requests.exceptions.RequestException, json.JSONDecodeError)
"""The errors that are raised while the cluster cannot be reached. They never mean that a job failed."""

_ALIVE = (JobStatus.PENDING, JobStatus.RUNNING)


class Cluster:
    """A client of the jobs API of a Ray head. Calls raise one of UNREACHABLE while the head does not answer."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connected: JobSubmissionClient | None = None

    @property
    def _client(self) -> JobSubmissionClient:
        if self._connected is None:
            self._connected = JobSubmissionClient(self._address)
        return self._connected

    def submit(self, experiment: str, name: str, attempt: int) -> None:
        """Starts the driver of an attempt. Does nothing if the attempt was submitted before."""
        job = job_id(experiment, attempt)
        if self.state(experiment, attempt) != "UNKNOWN":
            return
        self._client.submit_job(
            entrypoint=f"exec {sys.executable} -m orchestrator.driver {experiment} {attempt}",
            submission_id=job,
            metadata={"job_name": name, "experiment": experiment, "attempt": str(attempt)},
            runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "20"}},
        )

    def state(self, experiment: str, attempt: int) -> JobState:
        """Returns RUNNING, ENDED (with or without success), or UNKNOWN if the head was restarted since."""
        job = job_id(experiment, attempt)
        for details in self._client.list_jobs():
            if details.submission_id == job:
                return "RUNNING" if details.status in _ALIVE else "ENDED"
        return "UNKNOWN"

    def why(self, experiment: str, attempt: int) -> str:
        """Returns Ray's status and message of a job that ended."""
        details = self._client.get_job_info(job_id(experiment, attempt))
        return f"{details.status.value}: {details.message or 'no message'}"

    def stop(self, experiment: str, attempt: int) -> None:
        """Asks a running job to end."""
        self._client.stop_job(job_id(experiment, attempt))


def connect() -> None:
    """Connects this process, which runs as a Ray Job, to its cluster."""
    ray.init(address="auto", namespace="relearn", logging_level=logging.WARNING)


def job_id(experiment: str, attempt: int) -> str:
    """Returns the submission id of the attempt's Ray Job."""
    return f"relearn-{experiment}-a{attempt}"
