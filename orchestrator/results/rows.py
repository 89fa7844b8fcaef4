"""The scores of an experiment as tidy rows."""

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

import evaluators
from evaluators import intervals
from orchestrator.results import search
from orchestrator.results.stored import generations_of, part_of, table_rows
from orchestrator.states import NodeState
from orchestrator.store import Store
from orchestrator.store.records import EpochRow, Experiment
from trainer.core import data


def result_rows(store: Store, experiment: Experiment) -> Iterator[dict[str, Any]]:
    """Yields one row per arm, seed, generation, evaluator, data set and metric, with its interval if it has one.

    `details` describe how the score was measured (`evaluators.evaluate`); they are empty for results of versions that
    did not store them. The evaluator `training` has the test accuracy in the epochs of a committed generation, as the
    separate metrics `last` and `best`. `node` is the key of the measured node, and `made_by` names the experiment,
    arm, seed and generation that did the work. `unit`, `better`, `headline` and `n_of` are what the evaluator declares
    about the metric (`evaluators.metrics`). `generations` is the number of generations of the arm, counting generation
    0; it is None for an arm that is a checkpoint, which is not trained here.
    """
    for row in _measured(store, experiment):
        yield row | evaluators.about(row["evaluator"], row["metric"]).as_json()


def _measured(store: Store, experiment: Experiment) -> Iterator[dict[str, Any]]:
    details = store.details_of(experiment.id)
    uses = store.uses_of(experiment.id)
    committed = {
        use.key for use in uses if use.state == NodeState.SUCCEEDED or use.made_by
    }  # a node with made_by was done before and is being made again
    made_by = {use.key: use.made_by for use in uses}
    tested: dict[str, tuple[str, int | None]] = {}
    for arm, seed in table_rows(experiment):
        of_run = {"arm": arm, "seed": seed, "generations": generations_of(experiment, arm)}
        if arm not in tested:
            tested[arm] = _tested(part_of(experiment, arm, "data"))
        label, n = tested[arm]
        generations: dict[int, list[EpochRow]] = {}
        for row in store.epochs_of(experiment.id, arm, seed):
            if row.key in committed and "test/accuracy" in row.metrics:
                generations.setdefault(row.generation, []).append(row)
        for generation, measured in sorted(generations.items()):
            where = of_run | {"generation": generation, "evaluator": "training", "dataset": label}
            node = {"node": measured[0].key, "made_by": made_by[measured[0].key]}
            yield from (where | row | node for row in _training_rows(measured, n))
        for score in store.results_of(experiment.id, arm, seed):
            about = details.get(score.key, {})
            chosen_on = search.note(experiment, arm, score.dataset)
            yield {
                **of_run,
                "generation": score.generation,
                "evaluator": score.evaluator,
                "dataset": score.dataset,
                "metric": score.metric,
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "n": score.n,
                "details": about | {"notes": [*about.get("notes", []), *chosen_on]} if chosen_on else about,
                "node": score.key,
                "made_by": made_by[score.key],
            }


def _training_rows(measured: list[EpochRow], n: int | None) -> Iterator[dict[str, Any]]:
    """Yields the accuracy of a generation's last epoch and its best accuracy, at the earliest epoch that reached it."""
    measured = sorted(measured, key=lambda row: row.epoch)
    selected = f"best of {len(measured)} measured epochs on the test images"
    best = max(measured, key=lambda row: row.metrics["test/accuracy"])
    for name, row, notes in (("last", measured[-1], []), ("best", best, [selected])):
        value = row.metrics["test/accuracy"]
        low, high = (None, None) if n is None else _interval(value, n)
        yield {
            "metric": f"test_accuracy/{name}",
            "value": value,
            "low": low,
            "high": high,
            "n": n,
            "details": {"epoch": row.epoch, "notes": notes},
        }


def _interval(value: float, n: int) -> tuple[float | None, float | None]:
    score = intervals.share(round(value * n), n)
    return score.low, score.high


def _tested(settings: dict[str, Any]) -> tuple[str, int | None]:
    """Returns the label of the data in tables and its number of test images, or None if it is not prepared here."""
    try:
        spec: data.AnyData = TypeAdapter(data.DataSpec).validate_python(settings)
    except ValidationError:  # settings of another version of the code
        return str(settings["name"]), None
    return spec.label, None if spec.problem() else spec.test_size() or None
