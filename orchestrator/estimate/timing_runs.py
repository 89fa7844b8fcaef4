"""Requests to a timing run and the rates that it found, for kinds of steps that were never trained here."""

import math
from collections.abc import Collection, Mapping

from pydantic import BaseModel, ConfigDict

from orchestrator.estimate.rates import Rate
from orchestrator.estimate.workload import StepKind, Workload
from orchestrator.plan import Plan, digest
from orchestrator.store import Store
from trainer.spec import TrainSpec

BUDGET_S = 60.0
"""The time for the steps of all kinds together, in seconds."""
MAX_KINDS = 32
"""The greatest number of kinds of steps that one run times."""


class TimingRequest(BaseModel):
    """Asks for the time of the steps of `spec` in `generation`, on random images of `pixels` x `pixels`.

    The result is stored under `key`.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    spec: TrainSpec
    generation: int
    classes: int
    pixels: int


class TimingRun(BaseModel):
    """The requests of one job, which times them on a GPU or on `threads` CPU threads for about `budget_s` seconds."""

    model_config = ConfigDict(frozen=True)

    requests: tuple[TimingRequest, ...]
    gpu: bool
    threads: int
    budget_s: float = BUDGET_S


def timing_requests(plan: Plan, workload: Workload, todo: Collection[str]) -> dict[StepKind, TimingRequest]:
    """Returns, by kind of the steps in `todo`, the request that times them.

    With several workers, one worker is timed with its share of a batch.
    """
    found: dict[StepKind, TimingRequest] = {}
    for key in todo:
        node = plan.nodes[key]
        if node.kind != "generation" or node.elsewhere:
            continue
        kind, sizes = workload.step_kind(node.arm, node.generation), workload.data_sizes(node.arm)
        if sizes is None or kind in found:
            continue
        spec = workload.train_spec(node.arm)
        share = spec.train.model_copy(update={"batch_size": math.ceil(kind.batch_size / kind.workers)})
        content = {
            "model": kind.model,
            "batch_size": share.batch_size,
            "precision": kind.precision,
            "family": kind.family,
            "device": kind.device,
            "threads": kind.threads,
            "classes": sizes.classes,
            "pixels": sizes.pixels,
        }
        found[kind] = TimingRequest(
            key=digest(content),
            spec=spec.model_copy(update={"train": share}),
            generation=node.generation,
            classes=sizes.classes,
            pixels=sizes.pixels,
        )
    return found


def timed_rates(
    store: Store, requests: Mapping[StepKind, TimingRequest], plan: Plan, workload: Workload
) -> dict[StepKind, Rate]:
    """Returns the rates of the kinds in `requests` that were timed before.

    The seconds per step include a share of the evaluations on the test images during training.
    """
    arms: dict[StepKind, str] = {}
    for node in plan.nodes.values():
        if node.kind == "generation" and not node.elsewhere:
            arms.setdefault(workload.step_kind(node.arm, node.generation), node.arm)
    found = {}
    for kind, request in requests.items():
        row = store.timing(request.key)
        sizes, steps = workload.data_sizes(arms[kind]), workload.steps_of_epoch(arms[kind])
        if row is not None and sizes is not None and steps:
            content = row.content
            evaluating = content["judged_image_s"] * sizes.test / (kind.evaluate_every * steps)
            seconds = tuple(each + evaluating for each in content["step_s"])
            note = ", for one worker without the exchange of gradients" if kind.workers > 1 else ""
            found[kind] = Rate(seconds, f"timing run of {len(seconds)} blocks on {content['machine']}{note}")
    return found
