"""Tests the timing run without a cluster: the submitted job, the outcome of each job status, and the job's own work."""

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


def timing_requests(**changes: Any) -> list[TimingRequest]:
    """Returns the requests that a plan of the small spec with `changes` makes."""
    spec = check(small(**changes))
    plan = planning.plan(spec)
    return list(timing_runs.timing_requests(plan, Workload(spec), plan.nodes).values())


@dataclass
class Head:
    """A fake Ray head. Each call for the job's status returns the next of `statuses`, and the last one from then on."""

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
        return RayCluster("http://ray", lambda _: self, self.sleep).time(timing_requests(), resources)


def test_a_job_has_the_resources_of_a_worker_and_carries_the_timing_run() -> None:
    head = Head([JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUCCEEDED])
    assert head.time(Resources(cpus=2, gpus=0.5, threads=3)) is None
    (job,) = head.submitted
    assert (job["entrypoint_num_cpus"], job["entrypoint_num_gpus"]) == (2, 0.5)
    sent = TimingRun.model_validate_json(shlex.split(job["entrypoint"])[-1])
    assert (sent.gpu, sent.threads, list(sent.requests)) == (True, 3, timing_requests())
    assert (head.slept_s, head.stopped) == (1.0, [])


@pytest.mark.parametrize(
    ("statuses", "why", "stopped"),
    [
        ([JobStatus.FAILED], "the job ended as FAILED: the last line", 0),
        ([JobStatus.PENDING], "the cluster had no free capacity for it within 60 s", 1),
        ([JobStatus.RUNNING], "it did not finish within 120 s and was stopped", 1),
    ],
)
def test_a_timing_run_that_does_not_succeed_returns_the_reason(
    statuses: list[JobStatus], why: str, stopped: int
) -> None:
    head = Head(statuses)
    assert head.time(Resources()) == why
    assert len(head.stopped) == stopped
    assert head.slept_s <= 121


def test_submission_waits_for_a_head_that_has_just_started() -> None:
    head = Head([JobStatus.SUCCEEDED], ["500: No available agent to submit job"] * 2)
    assert head.time(Resources()) is None
    assert (len(head.submitted), head.slept_s) == (1, 1.0)
    assert Head([JobStatus.SUCCEEDED], ["disk full"]).time(Resources()) == "the Ray cluster does not answer (disk full)"


def test_without_a_cluster_there_are_no_nodes_and_no_timing_run() -> None:
    unreachable = RayCluster("http://127.0.0.1:1")
    assert unreachable.nodes() is None
    reason = unreachable.time(timing_requests(), Resources())
    assert str(reason).startswith("the Ray cluster does not answer")


def test_every_kind_of_steps_is_timed_in_turn() -> None:
    requests = timing_requests(arms=[{"name": name, "method": {"name": name}} for name in ("normal", "born-again")])
    found = list(run(TimingRun(requests=tuple(requests), gpu=False, threads=1, budget_s=0.2), CPU, lambda: 0.0))
    assert [request for request, _ in found] == requests
    assert all(second > 0 for _, timing in found for second in timing.step_s)


def test_when_the_budget_is_used_up_the_rest_is_left_out() -> None:
    requests = timing_requests(
        arms=[{"name": name, "method": {"name": name}} for name in ("normal", "born-again", "imp")]
    )
    clock = iter((0.0, 0.0, 5.0, 50.0)).__next__
    found = list(run(TimingRun(requests=tuple(requests), gpu=False, threads=1, budget_s=10), CPU, clock))
    assert [request for request, _ in found] == requests[:2]


def test_a_request_that_fails_does_not_stop_the_others() -> None:
    (good,) = timing_requests(arms=[{"name": "normal", "method": {"name": "normal"}}])
    bad = good.model_copy(update={"pixels": 0})
    found = list(run(TimingRun(requests=(bad, good), gpu=False, threads=1, budget_s=0.1), CPU))
    assert [request for request, _ in found] == [good]


def test_one_request_for_each_kind_of_steps() -> None:
    arms = [
        {"name": name, "method": {"name": name}}
        for name in ("normal", "llf", "seal", "born-again", "self-distillation")
    ]
    found = timing_requests(arms=arms)
    assert [(each.spec.method.name, each.generation, each.classes, each.pixels) for each in found] == [
        ("normal", 0, 10, 16),
        ("born-again", 1, 10, 16),
    ]


def test_data_of_the_same_shape_is_timed_once_and_other_shapes_apart() -> None:
    (plain,) = timing_requests(arms=[{"name": "normal", "method": {"name": "normal"}}])
    arms = [{"name": "normal", "method": {"name": "normal"}}]
    (other,) = timing_requests(arms=arms, data={"name": "digits"}, seeds=[4])
    (larger,) = timing_requests(arms=arms, train={"batch_size": 17, "epochs": 3})
    assert plain.key == other.key
    assert plain.key != larger.key


def test_one_of_several_workers_is_timed_with_its_share() -> None:
    (found,) = timing_requests(arms=[{"name": "normal", "method": {"name": "normal"}}], resources={"workers": 3})
    assert found.spec.train.batch_size == 6
