"""The timing run without a cluster: what is asked of Ray, what its answers mean, and the job's own work."""

import shlex
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from ray.job_submission import JobStatus

from orchestrator import plan as planning
from orchestrator.cluster.timing import RayCluster, run
from orchestrator.estimate import timing_runs
from orchestrator.estimate.timing_runs import TimingRequest, TimingRun
from orchestrator.estimate.workload import Workload
from orchestrator.intake.check import check
from orchestrator.spec import Resources
from tests.orchestrator.builders import small

CPU = torch.device("cpu")


def asked(**changes: Any) -> list[TimingRequest]:
    spec = check(small(**changes))
    plan = planning.plan(spec)
    return list(timing_runs.timing_requests(plan, Workload(spec), plan.nodes).values())


@dataclass
class Head:
    """A Ray head: each look at the job gives the next of `statuses`, the last one for ever."""

    statuses: list[JobStatus]
    refusals: list[str] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    slept_s: float = 0.0

    def submit_job(self, **job: Any) -> str:
        if self.refusals:
            raise RuntimeError(self.refusals.pop(0))
        self.submitted.append(job)
        return str(job["submission_id"])

    def get_job_status(self, job: str) -> JobStatus:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def stop_job(self, job: str) -> None:
        self.stopped.append(job)

    def get_job_logs(self, job: str) -> str:
        return "one line\nthe last line\n"

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds

    def time(self, resources: Resources) -> str | None:
        return RayCluster("http://ray", lambda _: self, self.sleep).time(asked(), resources)


def test_a_job_has_the_resources_of_a_worker_and_is_told_everything() -> None:
    head = Head([JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUCCEEDED])
    assert head.time(Resources(cpus=2, gpus=0.5, threads=3)) is None
    (job,) = head.submitted
    assert (job["entrypoint_num_cpus"], job["entrypoint_num_gpus"]) == (2, 0.5)
    told = TimingRun.model_validate_json(shlex.split(job["entrypoint"])[-1])
    assert (told.gpu, told.threads, list(told.requests)) == (True, 3, asked())
    assert (head.slept_s, head.stopped) == (1.0, [])


@pytest.mark.parametrize(
    ("statuses", "why", "stopped"),
    [
        ([JobStatus.FAILED], "the job ended as FAILED: the last line", 0),
        ([JobStatus.PENDING], "the cluster had no room for it", 1),
        ([JobStatus.RUNNING], "it took too long and was stopped", 1),
    ],
)
def test_a_run_that_comes_to_nothing_says_why(statuses: list[JobStatus], why: str, stopped: int) -> None:
    head = Head(statuses)
    assert head.time(Resources()) == why
    assert len(head.stopped) == stopped
    assert head.slept_s <= 121


def test_a_head_that_has_just_come_up_is_waited_for() -> None:
    head = Head(
        [JobStatus.SUCCEEDED], ["500: No available agent to submit job", "500: No available agent to submit job"]
    )
    assert head.time(Resources()) is None
    assert (len(head.submitted), head.slept_s) == (1, 1.0)
    assert Head([JobStatus.SUCCEEDED], ["disk full"]).time(Resources()) == "the Ray cluster does not answer (disk full)"


def test_no_cluster() -> None:
    nobody = RayCluster("http://127.0.0.1:1")
    assert nobody.nodes() is None
    assert str(nobody.time(asked(), Resources())).startswith("the Ray cluster does not answer")


# --- the job ---


def test_every_kind_is_timed_in_turn() -> None:
    requests = asked(arms=[{"name": name, "method": {"name": name}} for name in ("normal", "born-again")])
    found = list(run(TimingRun(requests=tuple(requests), gpu=False, threads=1, budget_s=0.2), CPU, lambda: 0.0))
    assert [request for request, _ in found] == requests
    assert all(second > 0 for _, timing in found for second in timing.step_s)


def test_when_the_time_is_up_the_rest_is_left_out() -> None:
    requests = asked(arms=[{"name": name, "method": {"name": name}} for name in ("normal", "born-again", "imp")])
    clock = iter((0.0, 0.0, 5.0, 50.0)).__next__
    found = list(run(TimingRun(requests=tuple(requests), gpu=False, threads=1, budget_s=10), CPU, clock))
    assert [request for request, _ in found] == requests[:2]


def test_what_fails_does_not_stop_the_others() -> None:
    (good,) = asked(arms=[{"name": "normal", "method": {"name": "normal"}}])
    bad = good.model_copy(update={"pixels": 0})
    found = list(run(TimingRun(requests=(bad, good), gpu=False, threads=1, budget_s=0.1), CPU))
    assert [request for request, _ in found] == [good]


# --- what is asked, and what it means for the quote ---


def test_one_request_for_each_kind_of_steps() -> None:
    arms = [
        {"name": name, "method": {"name": name}}
        for name in ("normal", "llf", "seal", "born-again", "self-distillation")
    ]
    found = asked(arms=arms)
    assert [(each.spec.method.name, each.generation, each.classes, each.pixels) for each in found] == [
        ("normal", 0, 10, 16),
        ("born-again", 1, 10, 16),
    ]


def test_data_of_the_same_shape_is_timed_once_and_other_shapes_apart() -> None:
    (plain,) = asked(arms=[{"name": "normal", "method": {"name": "normal"}}])
    (other,) = asked(arms=[{"name": "normal", "method": {"name": "normal"}}], data={"name": "digits"}, seeds=[4])
    (larger,) = asked(arms=[{"name": "normal", "method": {"name": "normal"}}], train={"batch_size": 17, "epochs": 3})
    assert plain.key == other.key
    assert plain.key != larger.key


def test_one_of_several_workers_is_timed_with_its_share() -> None:
    (found,) = asked(arms=[{"name": "normal", "method": {"name": "normal"}}], resources={"workers": 3})
    assert found.spec.train.batch_size == 6
