"""A short timing run where training would run: `python -m orchestrator.cluster.timing RUN`.

It is a Ray Job with a worker's resources. What a plan sees of the cluster is here too.
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
"""Seconds that a job may wait for capacity before it is given up."""
START_S = 60.0
"""Seconds that a job may take beyond the steps' budget: starting, building networks, warming up."""
_LOOK_S = 0.5


class RayCluster:
    """The cluster of a Ray head as a plan sees it: how large it is, and how fast."""

    def __init__(
        self,
        address: str,
        client: Callable[[str], JobSubmissionClient] = JobSubmissionClient,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address, self._client, self._sleep = address, client, sleep

    def nodes(self) -> list[dict[str, float]] | None:
        """Resources of the nodes that are alive; None where the head does not answer."""
        try:
            found = list_nodes(address=self._address, timeout=5, limit=1000)
        except (RayStateApiException, *UNREACHABLE):
            return None
        return [dict(node.resources_total) for node in found if node.state == "ALIVE"]

    def time(self, asked: list[TimingRequest], resources: Resources) -> str | None:
        """Has `asked` timed on a worker of `resources`, which stores what it finds; returns why it was not, if so."""
        run = TimingRun(requests=tuple(asked), gpu=device_of(resources) == "gpu", threads=resources.threads)
        try:
            client = self._client(self._address)
            return self._outcome(client, self._submitted(client, run, resources), run.budget_s)
        except UNREACHABLE as error:
            return f"the Ray cluster does not answer ({error})"

    def _submitted(self, client: JobSubmissionClient, run: TimingRun, resources: Resources) -> str:
        """The job's id; a head that came up just now is waited for."""
        waited = 0.0
        while True:
            try:
                job: str = client.submit_job(
                    entrypoint=f"exec {sys.executable} -m orchestrator.cluster.timing {shlex.quote(run.model_dump_json())}",
                    submission_id=f"relearn-timing-{secrets.token_hex(4)}",
                    metadata={"job_name": "timing"},
                    entrypoint_num_cpus=resources.cpus,
                    entrypoint_num_gpus=resources.gpus or None,
                )
                return job
            except RuntimeError as error:
                if "No available agent" not in str(error) or waited > WAIT_S:
                    raise
                self._sleep(_LOOK_S)
                waited += _LOOK_S

    def _outcome(self, client: JobSubmissionClient, job: str, budget_s: float) -> str | None:
        waited = 0.0
        pending = 0.0
        while (status := client.get_job_status(job)) in (JobStatus.PENDING, JobStatus.RUNNING):
            if pending > WAIT_S or waited - pending > budget_s + START_S:
                client.stop_job(job)
                return (
                    "the cluster had no room for it"
                    if status == JobStatus.PENDING
                    else "it took too long and was stopped"
                )
            self._sleep(_LOOK_S)
            waited += _LOOK_S
            pending += _LOOK_S if status == JobStatus.PENDING else 0.0
        if status == JobStatus.SUCCEEDED:
            return None
        tail = client.get_job_logs(job).strip().splitlines()[-1:]
        return f"the job ended as {status.value}: {' '.join(tail) or 'it said nothing'}"


def run(
    asked: TimingRun, device: torch.device, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[TimingRequest, Timing]]:
    """Times one request after another, each for its share of what is left of the budget; what fails is left out."""
    began = clock()
    for index, request in enumerate(asked.requests):
        left = asked.budget_s - (clock() - began)
        if left <= 0:
            log.warning("%d kinds of steps are not timed: the time is up", len(asked.requests) - index)
            return
        share = left / (len(asked.requests) - index)
        try:
            yield request, measure(request.spec, request.generation, request.classes, request.pixels, device, share)
        except Exception as error:
            # memory that does not suffice, or a package's method: the others are timed all the same
            log.warning("%s is not timed: %s", request.spec.model.name, error)
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()


def main() -> int:
    """Exit code 1 where something was not timed, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.cluster.timing", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("run", help="a TimingRun as JSON")
    asked = TimingRun.model_validate_json(parser.parse_args().run)
    pin_threads(asked.threads)
    device = torch.device("cuda" if asked.gpu else "cpu")
    store = Store(Settings.from_environment().database_url)
    where = machine_name(fingerprint(device))
    timed = 0
    for request, timing in run(asked, device):
        content = {"step_s": list(timing.step_s), "judged_image_s": timing.judged_image_s, "machine": where}
        store.add_timing(request.key, content)
        timed += 1
    return int(timed < len(asked.requests))


if __name__ == "__main__":
    sys.exit(main())
