"""The progress of an experiment and of each of its arms and seeds."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from orchestrator.results import search
from orchestrator.results.failures import failures
from orchestrator.results.stored import part_of, table_rows
from orchestrator.states import LIVE, NodeState
from orchestrator.store import Store
from orchestrator.store.records import EpochRow, Experiment, NodeUse


def view(store: Store, experiment: Experiment, now: float | None = None) -> dict[str, Any]:
    """Returns the state and progress of an experiment as JSON.

    Times are RFC 3339 in UTC, and durations are in seconds. `now` is in seconds since the epoch.
    """
    uses = store.uses_of(experiment.id)
    latest = store.latest_epochs(experiment.id)
    states = {use.key: (use.kind, use.state) for use in uses}
    return {
        "id": experiment.id,
        "name": experiment.name,
        "state": experiment.state,
        "reason": experiment.reason,
        "message": experiment.message,
        "attempt": experiment.attempt,
        "created_at": _time(experiment.created_at),
        "started_at": _time(experiment.started_at),
        "finished_at": _time(experiment.finished_at),
        "published": experiment.published,
        "plan": experiment.plan,
        "progress": _progress(
            experiment, uses, latest, store.training_began(experiment.id), time.time() if now is None else now
        ),
        "nodes": {
            kind: {state: sum(each == (kind, state) for each in states.values()) for state in NodeState}
            for kind in ("generation", "checkpoint", "evaluation")
        },
        "failures": failures(uses, store.nodes_of(experiment.id)),
        "rows": list(_rows(experiment, uses, latest)),
        "warnings": [
            {"arm": row.arm, "seed": row.seed, "generation": row.generation, "message": message}
            for row in store.warnings_of(experiment.id)
            for message in row.warnings
        ]
        + search.warnings(experiment),
        "search": search.view(store, experiment, uses),
    }


def summary(experiment: Experiment) -> dict[str, Any]:
    """Returns the fields of an experiment that lists show."""
    return {
        "id": experiment.id,
        "name": experiment.name,
        "state": experiment.state,
        "reason": experiment.reason,
        "message": experiment.message,
        "created_at": _time(experiment.created_at),
        "started_at": _time(experiment.started_at),
        "finished_at": _time(experiment.finished_at),
    }


def _rows(experiment: Experiment, uses: list[NodeUse], latest: dict[str, EpochRow]) -> Iterator[dict[str, Any]]:
    """Yields the current generation, epoch and accuracies of each arm and seed."""
    chains: dict[tuple[str, int], list[NodeUse]] = {}
    for use in uses:
        if use.kind == "generation":
            chains.setdefault((use.arm, use.seed), []).append(use)
    for arm, seed in table_rows(experiment):
        train = part_of(experiment, arm, "train")
        chain = chains.get((arm, seed), [])
        begun = [latest[use.key] for use in chain if use.key in latest]
        row = max(begun, key=lambda each: each.generation, default=None)
        done = sum(use.state == NodeState.SUCCEEDED for use in chain)
        yield {
            "arm": arm,
            "seed": seed,
            "generation": row.generation if row else None,
            "generations": train["generations"],
            "generations_committed": done,
            "epoch": row.epoch if row else None,
            "epochs": train["epochs"],
            "phase": row.phase if row else None,
            "train_accuracy": row.metrics.get("train/accuracy") if row else None,
            "test_accuracy": row.metrics.get("test/accuracy") if row else None,
        }


def _progress(
    experiment: Experiment, uses: list[NodeUse], latest: dict[str, EpochRow], training_began: float | None, now: float
) -> dict[str, Any]:
    epochs = {arm["name"]: part_of(experiment, arm["name"], "train")["epochs"] for arm in experiment.spec["arms"]}
    evaluated_only = {arm["name"] for arm in experiment.spec["arms"] if arm.get("checkpoint")}
    generations = {use.key: use for use in uses if use.kind == "generation" and use.arm not in evaluated_only}
    evaluations = {use.key: use for use in uses if use.kind == "evaluation"}
    if experiment.spec.get("search"):  # trials that the search has stopped are not counted
        generations, evaluations = (
            {key: use for key, use in each.items() if use.state != NodeState.SKIPPED}
            for each in (generations, evaluations)
        )
    cached = sum(epochs[use.arm] for use in generations.values() if use.cached)
    done = sum(latest[key].epoch + 1 if key in latest else 0 for key in generations)
    total = sum(epochs[use.arm] for use in generations.values())
    left = None
    if training_began is not None and done - cached > 1 and done < total and experiment.state in LIVE:
        left = round((now - training_began) / (done - cached - 1) * (total - done), 1)
    return {
        "epochs_done": done,
        "epochs_total": total,
        "epochs_cached": cached,
        "evaluations_done": sum(use.state == NodeState.SUCCEEDED for use in evaluations.values()),
        "evaluations_total": len(evaluations),
        "training_left_s": left,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
