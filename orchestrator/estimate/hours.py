"""The cost of a plan in hours: observed rates times units of work, kind by kind, and bounds on the elapsed time.

A kind of work without an observed rate has no hours. The totals then cover the other kinds and are marked as partial.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.estimate.makespan import critical_path, makespan
from orchestrator.estimate.rates import Interval, Rate, total
from orchestrator.estimate.workload import EvaluationKind, StepKind, Workload
from orchestrator.plan import Plan
from orchestrator.spec import Resources

HOUR_S = 3600.0
BASIS = (
    "hours of one training slot (all its workers together) or of one evaluation while it runs. The p10, p50 and p90 of "
    "a part are those of the observed seconds per unit, times its units: 8 of 10 further units of the generations that "
    "were timed are expected between p10 and p90. The interval is wider if few units were observed; if only one "
    "generation was timed, it does not contain the differences between runs. Totals add up the parts as if all were "
    "slow, or fast, at the same time. The start of Ray's workers, the commit of checkpoints and the wait for other "
    "experiments are not included"
)
"""The explanation of the hours in the answer."""


@dataclass(frozen=True)
class Rates:
    """The known rates: seconds per optimizer step and seconds per evaluation, by kind."""

    steps: Mapping[StepKind, Rate]
    evaluations: Mapping[EvaluationKind, Rate]


@dataclass(frozen=True)
class ClusterCapacity:
    """The number of segments that a cluster can train, and of evaluations that it can run, at the same time."""

    training_slots: int
    evaluation_slots: int


def count_units(
    plan: Plan, workload: Workload, todo: Collection[str]
) -> tuple[Counter[StepKind], Counter[EvaluationKind]]:
    """Counts the optimizer steps and the evaluations in `todo` by kind.

    A kind of steps has the count 0 if the size of its training set is unknown.
    """
    steps: Counter[StepKind] = Counter()
    evaluations: Counter[EvaluationKind] = Counter()
    for key in todo:
        node = plan.nodes[key]
        if node.kind == "evaluation":
            evaluations[workload.evaluation_kind(node)] += 1
        elif node.kind == "generation" and not node.elsewhere:
            steps[workload.step_kind(node.arm, node.generation)] += workload.steps(node.arm) or 0
    return steps, evaluations


def estimate_hours(
    plan: Plan,
    workload: Workload,
    todo: Collection[str],
    rates: Rates,
    resources: Resources,
    capacity: ClusterCapacity | None,
) -> dict[str, Any]:
    """Returns the `quote` field of the API's answer: hours by kind and in total, and bounds on the elapsed time.

    Hours are null if no rate is known. `capacity` is None if the cluster does not answer.
    """
    steps, evaluations = count_units(plan, workload, todo)
    training = [_CostItem("training", kind, count, rates.steps.get(kind)) for kind, count in steps.items()]
    evaluation = [
        _CostItem("evaluation", kind, count, rates.evaluations.get(kind)) for kind, count in evaluations.items()
    ]
    items = sorted(training + evaluation, key=lambda item: -(item.hours.p50 if item.hours else 0))
    unknown = [item.why_unknown for item in items if item.hours is None]
    any_known = not items or len(unknown) < len(items)
    return {
        "hours": _json(_total(items)),
        "training_hours": _json(_total(training)),
        "evaluation_hours": _json(_total(evaluation)),
        "gpu_hours": _json(_gpu_hours(training, evaluation, resources)),
        "partial": bool(unknown),
        "unknown": unknown,
        "wall_hours": _elapsed_hours(plan, workload, todo, rates, capacity, known=any_known),
        "parts": [item.as_json() for item in items],
        "basis": BASIS,
    }


@dataclass(frozen=True)
class _CostItem:
    """All work of one kind: `count` steps or evaluations."""

    stage: Literal["training", "evaluation"]
    kind: StepKind | EvaluationKind
    count: int
    rate: Rate | None

    @property
    def hours(self) -> Interval | None:
        return None if self.rate is None or self.count == 0 else self.rate.interval * (self.count / HOUR_S)

    @property
    def why_unknown(self) -> str:
        """The reason why there are no hours."""
        if self.count == 0:
            return f"the number of images is unknown: {self.kind}"
        return f"no history of {self.kind}"

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "what": str(self.kind),
            "units": self.count,
            "unit": "step" if self.stage == "training" else "evaluation",
            "seconds_per_unit": _json(None if self.rate is None else self.rate.interval),
            "hours": _json(self.hours),
            "samples": 0 if self.rate is None else len(self.rate.seconds),
            "basis": self.why_unknown if self.hours is None or self.rate is None else self.rate.basis,
        }


def _total(items: Collection[_CostItem]) -> Interval | None:
    """Returns the total of the items with known hours, or None if there are items and none has known hours."""
    found = [item.hours for item in items if item.hours is not None]
    return None if items and not found else total(found)


def _gpu_hours(
    training: Collection[_CostItem], evaluation: Collection[_CostItem], resources: Resources
) -> Interval | None:
    """Returns hours times GPUs, or None if no hours are known. Training takes the GPUs of all workers of a slot."""
    found = [
        hours * (resources.gpus * workers)
        for items, workers in ((training, resources.workers), (evaluation, 1))
        if items and (hours := _total(items)) is not None
    ]
    return None if (training or evaluation) and not found else total(found)


def _elapsed_hours(
    plan: Plan,
    workload: Workload,
    todo: Collection[str],
    rates: Rates,
    capacity: ClusterCapacity | None,
    known: bool,
) -> dict[str, dict[str, Any] | None]:
    """Returns the elapsed time with unlimited workers, with one worker, and with the cluster's training slots."""
    ends = _node_seconds(plan, workload, todo, rates) if known else None

    def hours(measured: Callable[[Mapping[str, float]], float]) -> dict[str, float | None]:
        if ends is None:
            return _json(None)
        low, middle, high = (None if each is None else measured(each) / HOUR_S for each in ends)
        assert middle is not None
        return Interval(low, middle, high).as_json()

    on_cluster: dict[str, Any] | None = None
    if capacity is not None and capacity.training_slots > 0:
        on_cluster = {"count": capacity.training_slots} | hours(
            lambda seconds: makespan(plan, todo, seconds, capacity.training_slots, capacity.evaluation_slots)
        )
    return {
        "critical_path": hours(lambda seconds: critical_path(plan, todo, seconds)),
        "one_after_another": hours(lambda seconds: math.fsum(seconds.values())),
        "lanes": on_cluster,
    }


def _node_seconds(
    plan: Plan, workload: Workload, todo: Collection[str], rates: Rates
) -> tuple[dict[str, float] | None, ...]:
    """Returns the seconds of every node in `todo` at p10, p50 and p90.

    A node without a known rate has 0 seconds. A whole quantile is None if some known rate does not have it.
    """
    ends: tuple[dict[str, float], ...] = ({}, {}, {})
    known = [True, True, True]
    for key in todo:
        node = plan.nodes[key]
        rate, units = None, 1
        if node.kind == "evaluation":
            rate = rates.evaluations.get(workload.evaluation_kind(node))
        elif node.kind == "generation" and not node.elsewhere:
            kind = workload.step_kind(node.arm, node.generation)
            rate, units = rates.steps.get(kind), workload.steps(node.arm) or 0
        values = (0.0, 0.0, 0.0) if rate is None else (rate.interval.p10, rate.interval.p50, rate.interval.p90)
        for index, value in enumerate(values):
            known[index] &= value is not None
            ends[index][key] = (value or 0.0) * units
    return tuple(end if is_known else None for end, is_known in zip(ends, known, strict=True))


def _json(interval: Interval | None) -> dict[str, float | None]:
    return {"p10": None, "p50": None, "p90": None} if interval is None else interval.as_json()
