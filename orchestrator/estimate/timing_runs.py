"""What a timing run is asked and what it found: seconds of single steps, for kinds of steps that were never trained here."""

import math
from collections.abc import Collection, Mapping

from pydantic import BaseModel, ConfigDict

from orchestrator.estimate.rates import Rate
from orchestrator.estimate.workload import StepKind, Work
from orchestrator.plan import Plan, digest
from orchestrator.store import Store
from trainer.spec import TrainSpec

BUDGET_S = 60.0
"""Of steps, for all kinds together."""
MOST = 32
"""Kinds that one run times."""


class TimingRequest(BaseModel):
    """Steps to time: those of `spec` in `generation`, on images of `pixels` x `pixels`. What is found is kept under `key`."""

    model_config = ConfigDict(frozen=True)

    key: str
    spec: TrainSpec
    generation: int
    classes: int
    pixels: int


class TimingRun(BaseModel):
    """What one job times, on a GPU or on so many threads, for about `budget_s` seconds."""

    model_config = ConfigDict(frozen=True)

    requests: tuple[TimingRequest, ...]
    gpu: bool
    threads: int
    budget_s: float = BUDGET_S


def requests(plan: Plan, work: Work, todo: Collection[str]) -> dict[StepKind, TimingRequest]:
    """By kind of the steps that are to do: what would time them. Of several workers, one is timed with its share of a batch."""
    found: dict[StepKind, TimingRequest] = {}
    for key in todo:
        node = plan.nodes[key]
        if node.kind != "generation" or node.elsewhere:
            continue
        kind, size = work.step_kind(node.arm, node.generation), work.extents(node.arm)
        if size is None or kind in found:
            continue
        spec = work.train_spec(node.arm)
        share = spec.train.model_copy(update={"batch_size": math.ceil(kind.batch_size / kind.workers)})
        content = {
            "model": kind.model,
            "batch_size": share.batch_size,
            "precision": kind.precision,
            "family": kind.family,
            "device": kind.device,
            "threads": kind.threads,
            "classes": size.classes,
            "pixels": size.pixels,
        }
        found[kind] = TimingRequest(
            key=digest(content),
            spec=spec.model_copy(update={"train": share}),
            generation=node.generation,
            classes=size.classes,
            pixels=size.pixels,
        )
    return found


def timed_rates(store: Store, asked: Mapping[StepKind, TimingRequest], plan: Plan, work: Work) -> dict[StepKind, Rate]:
    """Of the kinds that a timing run was here for: seconds per step, with its share of judging on the test images."""
    arms: dict[StepKind, str] = {}
    for node in plan.nodes.values():
        if node.kind == "generation" and not node.elsewhere:
            arms.setdefault(work.step_kind(node.arm, node.generation), node.arm)
    found = {}
    for kind, request in asked.items():
        row = store.timing(request.key)
        size, steps = work.extents(arms[kind]), work.steps_of_epoch(arms[kind])
        if row is not None and size is not None and steps:
            content = row.content
            judging = content["judged_image_s"] * size.test / (kind.evaluate_every * steps)
            seconds = tuple(each + judging for each in content["step_s"])
            alone = ", of one worker without the exchange with the others" if kind.workers > 1 else ""
            found[kind] = Rate(seconds, f"timing run of {len(seconds)} blocks on {content['machine']}{alone}")
    return found
