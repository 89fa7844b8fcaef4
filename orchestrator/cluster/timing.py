"""Measures training steps on the cluster: `python -m orchestrator.cluster.timing RUN`.

The timing run is a short Ray Job with the resources of a training worker. `RayCluster` starts it for a plan, and lists
the nodes of the cluster.
"""

import argparse
import logging
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterator

import torch
from ray.job_submission import JobStatus, JobSubmissionClient
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from orchestrator.cluster.jobs import UNREACHABLE
from orchestrator.estimate.history import machine_name
from orchestrator.estimate.timing_runs import TimingRequest, TimingRun
from orchestrator.estimate.workload import device_of
from orchestrator.settings import Settings
from orchestrator.spec import Resources
from orchestrator.store import Store
from trainer.core.determinism import fingerprint, pin_threads
from trainer.timing import Timing, measure

log = logging.getLogger("relearn.timing")

WAIT_S = 60.0
"""Seconds that a job may wait for capacity before it is stopped."""
START_S = 60.0
"""Seconds that a job may take beyond the budget of its steps, to start, build networks and warm up."""
_POLL_S = 0.5
"""Seconds between two looks at the job's status."""


class RayCluster:
    """The parts of a Ray cluster that a plan needs: the resources of its nodes, and its speed."""

    def __init__(
        self,
        address: str,
        client: Callable[[str], JobSubmissionClient] = JobSubmissionClient,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address, self._client, self._sleep = address, client, sleep

    def nodes(self) -> list[dict[str, float]] | None:
        """Returns the resources of every node that is alive, or None if the head does not answer."""
        try:
            found = list_nodes(address=self._address, timeout=5, limit=1000)
        except (RayStateApiException, *UNREACHABLE):
            return None
        return [dict(node.resources_total) for node in found if node.state == "ALIVE"]

    def time(self, requests: list[TimingRequest], resources: Resources) -> str | None:
        """Times `requests` in a Ray Job that has the resources of a worker and stores the measurements.

        Returns the reason if this failed, else None.
        """
        run = TimingRun(requests=tuple(requests), gpu=device_of(resources) == "gpu", threads=resources.threads)
        try:
            client = self._client(self._address)
            return self._outcome(client, self._submitted(client, run, resources), run.budget_s)
        except UNREACHABLE as error:
            return f"the Ray cluster does not answer ({error})"

    def _submitted(self, client: JobSubmissionClient, run: TimingRun, resources: Resources) -> str:
        """Submits the job and returns its id. Waits for a head that has just started and has no agent yet."""
        argument = shlex.quote(run.model_dump_json())
        waited = 0.0
        while True:
            try:
                job: str = client.submit_job(
                    entrypoint=f"exec {sys.executable} -m orchestrator.cluster.timing {argument}",
                    submission_id=f"relearn-timing-{secrets.token_hex(4)}",
                    metadata={"job_name": "timing"},
                    entrypoint_num_cpus=resources.cpus,
                    entrypoint_num_gpus=resources.gpus or None,
                )
                return job
            except RuntimeError as error:
                if "No available agent" not in str(error) or waited > WAIT_S:
                    raise
                self._sleep(_POLL_S)
                waited += _POLL_S

    def _outcome(self, client: JobSubmissionClient, job: str, budget_s: float) -> str | None:
        """Waits for the job to end. Returns the reason if it did not succeed, else None."""
        waited = 0.0
        pending = 0.0
        while (status := client.get_job_status(job)) in (JobStatus.PENDING, JobStatus.RUNNING):
            if pending > WAIT_S or waited - pending > budget_s + START_S:
                client.stop_job(job)
                if status == JobStatus.PENDING:
                    return f"the cluster had no free capacity for it within {WAIT_S:g} s"
                return f"it did not finish within {budget_s + START_S:g} s and was stopped"
            self._sleep(_POLL_S)
            waited += _POLL_S
            pending += _POLL_S if status == JobStatus.PENDING else 0.0
        if status == JobStatus.SUCCEEDED:
            return None
        tail = client.get_job_logs(job).strip().splitlines()[-1:]
        return f"the job ended as {status.value}: {' '.join(tail) or 'its log is empty'}"


def run(
    timing_run: TimingRun, device: torch.device, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[TimingRequest, Timing]]:
    """Times one request after another, and yields each with its measurement.

    Each request gets an equal share of the remaining budget. Requests that fail are logged and left out.
    """
    began = clock()
    for index, request in enumerate(timing_run.requests):
        left = timing_run.budget_s - (clock() - began)
        if left <= 0:
            log.warning(
                "%d kinds of steps are not timed: the budget of %g s is used up",
                len(timing_run.requests) - index,
                timing_run.budget_s,
            )
            return
        share = left / (len(timing_run.requests) - index)
        try:
            yield request, measure(request.spec, request.generation, request.classes, request.pixels, device, share)
        except Exception as error:
            # one request may run out of memory, or its package may raise any error; the others are still timed
            log.warning("%s is not timed: %s", request.spec.model.name, error)
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()


def main() -> int:
    """Runs the timing run that the command line gives, and stores its measurements.

    Returns 1 if a request was not timed, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.cluster.timing", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("run", help="a TimingRun as JSON")
    timing_run = TimingRun.model_validate_json(parser.parse_args().run)
    pin_threads(timing_run.threads)
    device = torch.device("cuda" if timing_run.gpu else "cpu")
    store = Store(Settings.from_environment().database_url)
    where = machine_name(fingerprint(device))
    timed = 0
    for request, timing in run(timing_run, device):
        content = {"step_s": list(timing.step_s), "judged_image_s": timing.judged_image_s, "machine": where}
        store.add_timing(request.key, content)
        timed += 1
    return int(timed < len(timing_run.requests))


if __name__ == "__main__":
    sys.exit(main())
