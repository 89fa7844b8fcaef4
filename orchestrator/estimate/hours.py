"""What a plan costs in hours: observed rates times what is to do, part by part, and bounds on the time by the clock.

A part that nobody has timed has no figure; the totals are then of the others and say that they are partial.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.estimate.makespan import critical_path, with_lanes
from orchestrator.estimate.rates import Interval, Rate, total
from orchestrator.estimate.workload import JudgementKind, StepKind, Work
from orchestrator.plan import Plan
from orchestrator.spec import Resources

HOUR_S = 3600.0
BASIS = (
    "hours of a lane (its workers together) or of an evaluation at work. A part's p10, p50 and p90 are those of the observed "
    "seconds per unit (8 of 10 further units of the generations that were timed lie between p10 and p90, wider where few were "
    "observed; from one generation it does not contain what differs between runs), times its units; totals add up the parts as "
    "if all were slow or fast together. Starting Ray's workers, committing checkpoints and waiting for "
    "other experiments are not in it"
)


@dataclass(frozen=True)
class Rates:
    """Seconds per optimizer step and per judgement, of the kinds that are known."""

    steps: Mapping[StepKind, Rate]
    judgements: Mapping[JudgementKind, Rate]


@dataclass(frozen=True)
class Room:
    """How many chains are trained at a time, and how many evaluations run at a time."""

    lanes: int
    slots: int


def kinds(plan: Plan, work: Work, todo: Collection[str]) -> tuple[Counter[StepKind], Counter[JudgementKind]]:
    """The kinds of what is to do: how many steps of each, where their number is known, and how many judgements."""
    steps: Counter[StepKind] = Counter()
    judgements: Counter[JudgementKind] = Counter()
    for key in todo:
        node = plan.nodes[key]
        if node.kind == "evaluation":
            judgements[work.judgement_kind(node)] += 1
        elif node.kind == "generation" and not node.elsewhere:
            steps[work.step_kind(node.arm, node.generation)] += work.steps(node.arm) or 0
    return steps, judgements


def quote(
    plan: Plan, work: Work, todo: Collection[str], rates: Rates, resources: Resources, room: Room | None
) -> dict[str, Any]:
    """Hours of training and evaluation, by part and by the clock; null where nothing is known."""
    steps, judgements = kinds(plan, work, todo)
    training = [_Part("training", kind, count, rates.steps.get(kind)) for kind, count in steps.items()]
    evaluation = [_Part("evaluation", kind, count, rates.judgements.get(kind)) for kind, count in judgements.items()]
    parts = sorted(training + evaluation, key=lambda part: -(part.hours.p50 if part.hours else 0))
    unknown = [part.why for part in parts if part.hours is None]
    return {
        "hours": _json(_total(parts)),
        "training_hours": _json(_total(training)),
        "evaluation_hours": _json(_total(evaluation)),
        "gpu_hours": _json(_gpu_hours(training, evaluation, resources)),
        "partial": bool(unknown),
        "unknown": unknown,
        "wall_hours": _wall(plan, work, todo, rates, room, known=not parts or len(unknown) < len(parts)),
        "parts": [part.as_json() for part in parts],
        "basis": BASIS,
    }


@dataclass(frozen=True)
class _Part:
    """Work of one kind: `count` units."""

    stage: Literal["training", "evaluation"]
    kind: StepKind | JudgementKind
    count: int
    rate: Rate | None

    @property
    def hours(self) -> Interval | None:
        return None if self.rate is None or self.count == 0 else self.rate.interval * (self.count / HOUR_S)

    @property
    def why(self) -> str:
        """Why there are no hours."""
        if self.count == 0:
            return f"nobody knows how many images there are: {self.kind}"
        return f"no history of {self.kind}"

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "what": str(self.kind),
            "units": self.count,
            "unit": "step" if self.stage == "training" else "judgement",
            "seconds_per_unit": _json(None if self.rate is None else self.rate.interval),
            "hours": _json(self.hours),
            "samples": 0 if self.rate is None else len(self.rate.seconds),
            "basis": self.why if self.hours is None or self.rate is None else self.rate.basis,
        }


def _total(parts: Collection[_Part]) -> Interval | None:
    """Of the parts that are known; None where there are parts and none is."""
    found = [part.hours for part in parts if part.hours is not None]
    return None if parts and not found else total(found)


def _gpu_hours(training: Collection[_Part], evaluation: Collection[_Part], resources: Resources) -> Interval | None:
    """Hours times GPUs, of which training takes those of all workers of a lane; None where nothing is known."""
    found = [
        each * (resources.gpus * many)
        for parts, many in ((training, resources.workers), (evaluation, 1))
        if parts and (each := _total(parts)) is not None
    ]
    return None if (training or evaluation) and not found else total(found)


def _wall(
    plan: Plan, work: Work, todo: Collection[str], rates: Rates, room: Room | None, known: bool
) -> dict[str, dict[str, Any] | None]:
    """Bounds: nothing waits for a worker, one worker does everything, and as many lanes as there are."""
    ends = _seconds(plan, work, todo, rates) if known else None

    def hours(measured: Callable[[Mapping[str, float]], float]) -> dict[str, float | None]:
        if ends is None:
            return _json(None)
        low, middle, high = (None if each is None else measured(each) / HOUR_S for each in ends)
        assert middle is not None
        return Interval(low, middle, high).as_json()

    return {
        "critical_path": hours(lambda seconds: critical_path(plan, todo, seconds)),
        "one_after_another": hours(lambda seconds: math.fsum(seconds.values())),
        "lanes": None
        if room is None or room.lanes == 0
        else {"count": room.lanes} | hours(lambda seconds: with_lanes(plan, todo, seconds, room.lanes, room.slots)),
    }


def _seconds(plan: Plan, work: Work, todo: Collection[str], rates: Rates) -> tuple[dict[str, float] | None, ...]:
    """Seconds of every node in `todo` at p10, p50 and p90, with 0 for what is not known; None where an end is not known."""
    ends: tuple[dict[str, float], ...] = ({}, {}, {})
    known = [True, True, True]
    for key in todo:
        node = plan.nodes[key]
        rate, units = None, 1
        if node.kind == "evaluation":
            rate = rates.judgements.get(work.judgement_kind(node))
        elif node.kind == "generation" and not node.elsewhere:
            rate, units = rates.steps.get(work.step_kind(node.arm, node.generation)), work.steps(node.arm) or 0
        values = (0.0, 0.0, 0.0) if rate is None else (rate.interval.p10, rate.interval.p50, rate.interval.p90)
        for index, value in enumerate(values):
            known[index] &= value is not None
            ends[index][key] = (value or 0.0) * units
    return tuple(end if is_known else None for end, is_known in zip(ends, known, strict=True))


def _json(interval: Interval | None) -> dict[str, float | None]:
    return {"p10": None, "p50": None, "p90": None} if interval is None else interval.as_json()
