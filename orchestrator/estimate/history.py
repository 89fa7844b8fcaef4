"""Rates of finished work: seconds per optimizer step and per evaluation, from the rows that it left in the database."""

import json
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from orchestrator.estimate.rates import Rate
from orchestrator.estimate.workload import (
    EvaluationKind,
    StepKind,
    Workload,
    counted,
    evaluation_kind_of,
    model_of,
    target_label,
)
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store

MAX_EXPERIMENTS = 100
"""The number of experiments that are searched, newest first."""
MAX_GENERATIONS, MAX_EVALUATIONS = 20, 60
"""The greatest number of generations, and of evaluations, that are used per kind, newest first."""
MAX_EPOCH_RATIO = 3.0
"""Epochs longer than this multiple of their generation's median are left out.

They waited for something, such as a new worker after a crash.
"""


def step_rates(store: Store, wanted: Collection[StepKind]) -> dict[StepKind, Rate]:
    """Returns the seconds per step of the `wanted` kinds that were trained here before.

    Only epochs on the machine that was used last count. The first epoch of a generation is left out, because its
    recorded time includes the start of a worker, forgetting, or another generation.
    """
    found = {kind: _Samples("epoch", "generation") for kind in wanted}
    for experiment, spec in _specs(store):
        if all(samples.pieces >= MAX_GENERATIONS for samples in found.values()):
            break
        workload = Workload(spec)
        arms = [arm.name for arm in spec.arms if arm.method is not None]
        if found.keys().isdisjoint(workload.step_kind(arm, generation) for arm in arms for generation in (0, 1)):
            continue
        chosen: dict[str, tuple[StepKind, int]] = {}
        taken: Counter[StepKind] = Counter()
        for row in store.made_in(experiment, "generation"):
            if workload.arm(row.arm).method is None or row.key in chosen:
                continue
            kind, steps = workload.step_kind(row.arm, row.generation), workload.steps_of_epoch(row.arm)
            if kind in found and steps is not None and found[kind].pieces + taken[kind] < MAX_GENERATIONS:
                taken[kind] += 1
                chosen[row.key] = kind, steps
        ends = store.epoch_ends(list(chosen))
        machines = store.machines_of(experiment) if chosen else {}
        for key, (kind, steps) in chosen.items():
            seconds = epoch_seconds(ends.get(key, []), kind.evaluate_every)
            found[kind].add([each / steps for each in seconds], machine_name(machines.get(key)), experiment)
    return {kind: samples.rate() for kind, samples in found.items() if samples.pieces}


def evaluation_rates(store: Store, wanted: Collection[EvaluationKind]) -> dict[EvaluationKind, Rate]:
    """Returns the seconds per evaluation of the `wanted` kinds that were evaluated here before.

    Only evaluations on the machine that was used last count.
    """
    found = {kind: _Samples("evaluation", "evaluation") for kind in wanted}
    for experiment, spec in _specs(store):
        if all(samples.pieces >= MAX_EVALUATIONS for samples in found.values()):
            break
        workload = Workload(spec)
        names = {evaluation.evaluator.name for evaluation in spec.evaluations}
        models = {model_of(spec, arm) for arm in spec.arms}
        if not any(kind.name in names and kind.model in models for kind in found):
            continue
        rows = {row.key: row for row in store.made_in(experiment, "evaluation")}
        for key, details in (store.details_of(experiment) if rows else {}).items():
            if key not in rows or "seconds" not in details:
                continue
            label = target_label(details["target"])
            arm = workload.arm(rows[key].arm)
            kind = evaluation_kind_of(
                spec,
                arm,
                name=details["evaluator"],
                version=details["version"],
                settings=details["settings"],
                target=label,
            )
            if kind in found and found[kind].pieces < MAX_EVALUATIONS:
                found[kind].add([details["seconds"]], machine_name(details["fingerprint"]), experiment)
    return {kind: samples.rate() for kind, samples in found.items() if samples.pieces}


def epoch_seconds(ends: list[tuple[int, float]], window: int) -> list[float]:
    """Returns seconds per epoch of a generation whose epochs ended at `ends`, which are (epoch, time) pairs in order.

    Each value is the mean of `window` consecutive epochs, one of which evaluated the network on the test images.
    """
    lengths = {b[0]: b[1] - a[1] for a, b in pairwise(ends) if b[0] == a[0] + 1 and b[1] > a[1]}
    usual = statistics.median(lengths.values()) if lengths else 0.0
    runs: list[list[float]] = [[]]
    for epoch, seconds in lengths.items():
        if seconds > MAX_EPOCH_RATIO * usual or epoch - 1 not in lengths:
            runs.append([])
        if seconds <= MAX_EPOCH_RATIO * usual:
            runs[-1].append(seconds)
    return [statistics.fmean(run[at : at + window]) for run in runs for at in range(0, len(run) - window + 1, window)]


def machine_name(fingerprint: Mapping[str, Any] | None) -> str:
    """Returns the name of the device in a fingerprint, or an empty string if no fingerprint was stored."""
    if fingerprint is None:
        return ""
    return str(fingerprint["cpu"] if fingerprint["device"] == "cpu" else fingerprint["device"])


@dataclass
class _Samples:
    """The samples of one kind of work, added newest first. Samples of other machines than the first are ignored."""

    unit: str
    piece: str
    """The noun for the work that one call of `add` describes: a generation or an evaluation."""
    seconds: list[float] = field(default_factory=list)
    experiments: set[str] = field(default_factory=set)
    machine: str = ""
    pieces: int = 0

    def add(self, seconds: list[float], machine: str, experiment: str) -> None:
        if not seconds or (self.pieces and machine != self.machine):
            return
        self.machine = machine
        self.seconds += seconds
        self.pieces += 1
        self.experiments.add(experiment)

    def rate(self) -> Rate:
        of = "" if self.unit == self.piece else f" of {counted(self.pieces, self.piece)}"
        where = f" on {self.machine}" if self.machine else ""
        what = f"{counted(len(self.seconds), self.unit)}{of} in {counted(len(self.experiments), 'experiment')}"
        return Rate(tuple(self.seconds), f"{what}{where}")


def _specs(store: Store) -> Iterator[tuple[str, ExperimentSpec]]:
    """Yields the ids and specs of the experiments that have begun, newest first.

    Experiments whose spec is no longer valid are left out.
    """
    for row in store.makers(MAX_EXPERIMENTS):
        try:
            yield row.id, ExperimentSpec.model_validate_json(json.dumps(row.spec))
        except ValidationError:
            continue
