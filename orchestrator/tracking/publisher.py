"""Publishes the contents of the database to the tracking server, which is a view that can be rebuilt at any time.

One MLflow run per arm and seed has the metrics of *all* its generations, including those that another arm trained.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrator.spec import ExperimentSpec
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.store.records import EpochRow, Experiment, ResultRow

if TYPE_CHECKING:  # importing mlflow takes two seconds, which would delay the start of training
    from orchestrator.tracking.mlflow import Measurement, Tracker

log = logging.getLogger("relearn.publish")

REPORT_RUN = "report"
"""The name of the parent run of the runs of all arms and seeds."""
PARENT_TAG = "mlflow.parentRunId"

_STATUS = {
    ExperimentState.SUCCEEDED: "FINISHED",
    ExperimentState.FAILED: "FAILED",
    ExperimentState.CANCELLED: "KILLED",
}
"""MLflow's status of a run, by the final state of the experiment."""


class Publisher:
    """Sends the rows of one experiment.

    Every call may raise a member of `tracking.mlflow.OUTAGE`; the next call then continues where it stopped.
    """

    def __init__(self, store: Store, tracker: "Tracker", experiment: Experiment, spec: ExperimentSpec) -> None:
        self._store, self._tracker, self._experiment, self._spec = store, tracker, experiment, spec

    def run_id(self, arm: str, seed: int) -> str:
        """Returns the id of the MLflow run of `arm` and `seed`, which is created on first use."""
        identity = self._experiment.id
        if known := self._store.run(identity, arm, seed):
            return known.run_id
        spec, described = self._spec, self._spec.arm(arm)
        where, parent = self._parent
        parts: dict[str, BaseModel | None] = {"data": spec.data_of(described), "model": spec.model_of(described)}
        if described.method is None:
            parts["checkpoint"] = described.checkpoint
        else:
            parts |= {"train": spec.train_of(described), "method": described.method}
        params: dict[str, object] = {"seed": seed}
        for name, part in parts.items():
            assert part is not None
            params |= _flat(name, part.model_dump(mode="json"))
        tags = {"relearn.experiment": identity, "relearn.arm": arm, "relearn.seed": str(seed), PARENT_TAG: parent}
        run_id = self._tracker.start_run(where, f"{arm}-seed{seed}", tags, params)
        self._tracker.text(run_id, "spec.json", json.dumps(self._experiment.spec, indent=2))
        self._store.add_run(identity, arm, seed, run_id)
        return run_id

    def ship(self) -> None:
        """Sends all measurements that were not sent before."""
        identity = self._experiment.id
        for arm in self._spec.arms:
            epochs = self._spec.train_of(arm).epochs
            for seed in self._spec.seeds_of(arm):
                run_id = self.run_id(arm.name, seed)
                run = self._store.run(identity, arm.name, seed)
                assert run is not None
                new_epochs = self._store.epochs_of(identity, arm.name, seed, run.shipped_epoch)
                new_results = self._store.results_of(identity, arm.name, seed, run.shipped_result)
                if not new_epochs and not new_results:
                    continue
                self._tracker.log(run_id, [*_epoch_metrics(new_epochs, epochs), *_result_metrics(new_results)])
                if warned := [warning for row in new_epochs for warning in row.warnings]:
                    self._tracker.tag(run_id, {"relearn.warning": " | ".join(warned)[:5000]})
                last_epoch = new_epochs[-1].id if new_epochs else run.shipped_epoch
                last_result = new_results[-1].id if new_results else run.shipped_result
                self._store.shipped(identity, arm.name, seed, last_epoch, last_result)

    def conclude(self) -> None:
        """Sends what is left, the report, the origin of each generation and the details of the scores.

        It then sets the final status of the runs.
        """
        self.ship()
        experiment = self._store.experiment(self._experiment.id)
        assert experiment is not None
        details = self._store.details_of(experiment.id)
        made: dict[tuple[str, int], dict[str, str]] = {}
        evaluated: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for use in self._store.uses_of(experiment.id):
            row = (use.arm, use.seed)
            if use.kind == "generation" and use.made_by:
                made.setdefault(row, {})[f"relearn.g{use.generation:02}.trained_in"] = use.made_by
            if use.key in details:
                evaluated.setdefault(row, []).append({"generation": use.generation, **details[use.key]})
        for run in self._store.runs_of(experiment.id):
            row = (run.arm, run.seed)
            tags = {"relearn.state": experiment.state.value, PARENT_TAG: self._parent[1]}
            self._tracker.tag(run.run_id, made.get(row, {}) | tags)
            if row in evaluated:
                self._tracker.text(run.run_id, "evaluations.json", json.dumps(evaluated[row], indent=1))
            self._tracker.finish(run.run_id, _STATUS[experiment.state])
        self._report(experiment)
        self._store.set_published(experiment.id)

    @cached_property
    def _parent(self) -> tuple[str, str]:
        """The ids of the MLflow experiment and of its parent run, which are created on first use."""
        identity = self._experiment.id
        tags = {"relearn.experiment": identity}
        where = self._tracker.experiment(f"{self._spec.name} ({identity})", tags)
        return where, self._tracker.start_run(where, REPORT_RUN, tags, {})

    def _report(self, experiment: Experiment) -> None:
        """Stores the spec and the report in the parent run.

        If the report cannot be built, the error is logged and set as a tag.
        """
        _, parent = self._parent
        self._tracker.text(parent, "spec.json", json.dumps(experiment.spec, indent=2))
        tags = {"relearn.state": experiment.state.value}
        try:
            kept = _report_files(self._store, experiment)
        except Exception as error:  # no error of the report may prevent the runs from being published
            log.exception("%s: its report cannot be built", experiment.id)
            tags["relearn.report_error"] = f"{type(error).__name__}: {error}"[:5000]
        else:
            for name, content in kept.items():
                self._tracker.text(parent, name, content)
        self._tracker.tag(parent, tags)
        self._tracker.finish(parent, _STATUS[experiment.state])


def _report_files(store: Store, experiment: Experiment) -> dict[str, str]:
    from orchestrator import report  # imports matplotlib and torch, which sending metrics does not need
    from orchestrator.report import formats

    return formats.files(report.build(store, [experiment]))


def _epoch_metrics(rows: Iterable[EpochRow], epochs: int) -> "Iterator[Measurement]":
    for row in rows:
        step = row.generation * epochs + row.epoch
        for name, value in row.metrics.items():
            yield name, value, step, row.at


def _result_metrics(rows: Iterable[ResultRow]) -> "Iterator[Measurement]":
    for row in rows:
        if row.value is not None:
            yield metric_name(row), row.value, row.generation, row.at


def metric_name(row: ResultRow) -> str:
    """Returns evaluator, data set and metric as one name, such as `few-shot/digits-edges/5shot/acc`."""
    return f"{row.evaluator}/{row.dataset}/{row.metric}"


def _flat(prefix: str, settings: dict[str, Any]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in settings.items():
        name = f"{prefix}.{key}"
        flat |= _flat(name, value) if isinstance(value, dict) else {name: value}
    return flat
