"""What finished work took: seconds per optimizer step and per judgement, from the rows that the work itself left."""

import json
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from orchestrator.estimate.rates import Rate
from orchestrator.estimate.workload import JudgementKind, StepKind, Work, counted, judgement, model_of, target_label
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store

EXPERIMENTS = 100
"""The newest ones are looked through."""
GENERATIONS, JUDGEMENTS = 20, 60
"""Of each kind, the newest, are enough."""
GAP = 3.0
"""An epoch so many times as long as its generation's median waited for something, such as a new worker after a crash."""


def step_rates(store: Store, wanted: Collection[StepKind]) -> dict[StepKind, Rate]:
    """Of the kinds that were trained here before: seconds per step of their epochs, on the machine that was used last.

    A generation's first epoch is left out: what came before it is the start of a worker, forgetting, or another generation.
    """
    found = {kind: _Samples("epoch", "generation") for kind in wanted}
    for experiment, spec in _specs(store):
        if all(samples.pieces >= GENERATIONS for samples in found.values()):
            break
        work = Work(spec)
        arms = [arm.name for arm in spec.arms if arm.method is not None]
        if found.keys().isdisjoint(work.step_kind(arm, generation) for arm in arms for generation in (0, 1)):
            continue
        chosen: dict[str, tuple[StepKind, int]] = {}
        taken: Counter[StepKind] = Counter()
        for row in store.made_in(experiment, "generation"):
            if work.arm(row.arm).method is None or row.key in chosen:
                continue
            kind, steps = work.step_kind(row.arm, row.generation), work.steps_of_epoch(row.arm)
            if kind in found and steps is not None and found[kind].pieces + taken[kind] < GENERATIONS:
                taken[kind] += 1
                chosen[row.key] = kind, steps
        ends = store.epoch_ends(list(chosen))
        machines = store.machines_of(experiment) if chosen else {}
        for key, (kind, steps) in chosen.items():
            seconds = epoch_seconds(ends.get(key, []), kind.evaluate_every)
            found[kind].add([each / steps for each in seconds], machine(machines.get(key)), experiment)
    return {kind: samples.rate() for kind, samples in found.items() if samples.pieces}


def judgement_rates(store: Store, wanted: Collection[JudgementKind]) -> dict[JudgementKind, Rate]:
    """Of the kinds that were judged here before: seconds of each judgement, on the machine that was used last."""
    found = {kind: _Samples("judgement", "judgement") for kind in wanted}
    for experiment, spec in _specs(store):
        if all(samples.pieces >= JUDGEMENTS for samples in found.values()):
            break
        work = Work(spec)
        names = {evaluation.evaluator.name for evaluation in spec.evaluations}
        models = {model_of(spec, arm) for arm in spec.arms}
        if not any(kind.name in names and kind.model in models for kind in found):
            continue
        rows = {row.key: row for row in store.made_in(experiment, "evaluation")}
        for key, details in (store.details_of(experiment) if rows else {}).items():
            if key not in rows or "seconds" not in details:
                continue
            text = target_label(details["target"])
            arm = work.arm(rows[key].arm)
            kind = judgement(spec, arm, details["evaluator"], details["version"], details["settings"], text)
            if kind in found and found[kind].pieces < JUDGEMENTS:
                found[kind].add([details["seconds"]], machine(details["fingerprint"]), experiment)
    return {kind: samples.rate() for kind, samples in found.items() if samples.pieces}


def epoch_seconds(ends: list[tuple[int, float]], window: int) -> list[float]:
    """Seconds per epoch of a generation whose epochs ended at `ends`: (epoch, time) pairs in order.

    Each is the mean of `window` epochs in a row, of which one judged the network on the test images.
    """
    lengths = {b[0]: b[1] - a[1] for a, b in pairwise(ends) if b[0] == a[0] + 1 and b[1] > a[1]}
    usual = statistics.median(lengths.values()) if lengths else 0.0
    runs: list[list[float]] = [[]]
    for epoch, seconds in lengths.items():
        if seconds > GAP * usual or epoch - 1 not in lengths:
            runs.append([])
        if seconds <= GAP * usual:
            runs[-1].append(seconds)
    return [statistics.fmean(run[at : at + window]) for run in runs for at in range(0, len(run) - window + 1, window)]


def machine(fingerprint: Mapping[str, Any] | None) -> str:
    """The device of a fingerprint, as people call it; empty where it was not kept."""
    if fingerprint is None:
        return ""
    return str(fingerprint["cpu"] if fingerprint["device"] == "cpu" else fingerprint["device"])


@dataclass
class _Samples:
    """Of one kind, newest first; only the newest one's machine counts."""

    unit: str
    piece: str
    """What a call of `add` is about."""
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
    """The experiments that began, newest first, as far as their spec can still be read."""
    for row in store.makers(EXPERIMENTS):
        try:
            yield row.id, ExperimentSpec.model_validate_json(json.dumps(row.spec))
        except ValidationError:
            continue
