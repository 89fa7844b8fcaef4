"""What a researcher asks of an experiment: how far it is, and the tidy rows of what was measured."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators import intervals
from orchestrator import search_view
from orchestrator.store import LIVE, Row, Store
from trainer.core import data


def view(store: Store, experiment: Row, now: float | None = None) -> dict[str, Any]:
    """State, progress and where each arm and seed stands; times are RFC 3339 in UTC, durations in seconds."""
    uses = store.uses_of(experiment["id"])
    latest = store.latest_epochs(experiment["id"])
    states = {use["key"]: (use["kind"], use["node_state"]) for use in uses}
    return {
        "id": experiment["id"],
        "name": experiment["name"],
        "state": experiment["state"],
        "reason": experiment["reason"],
        "message": experiment["message"],
        "attempt": experiment["attempt"],
        "created_at": _time(experiment["created_at"]),
        "started_at": _time(experiment["started_at"]),
        "finished_at": _time(experiment["finished_at"]),
        "published": experiment["published"],
        "plan": experiment["plan"],
        "progress": _progress(
            experiment, uses, latest, store.training_began(experiment["id"]), time.time() if now is None else now
        ),
        "nodes": {
            kind: {state: sum(each == (kind, state) for each in states.values()) for state in _STATES}
            for kind in ("generation", "checkpoint", "evaluation")
        },
        "rows": list(_rows(experiment, uses, latest)),
        "warnings": [
            {"arm": row["arm"], "seed": row["seed"], "generation": row["generation"], "message": message}
            for row in store.warnings_of(experiment["id"])
            for message in row["warnings"]
        ]
        + search_view.warnings(experiment),
        "search": search_view.view(store, experiment, uses),
    }


_STATES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "SKIPPED")


def summary(experiment: Row) -> dict[str, Any]:
    """An experiment in a list."""
    times = {name: _time(experiment[name]) for name in ("created_at", "started_at", "finished_at")}
    return {key: experiment[key] for key in ("id", "name", "state", "reason")} | times


def result_rows(store: Store, experiment: Row) -> Iterator[dict[str, Any]]:
    """One row per arm, seed, generation, evaluator, data set and metric, with its interval where it has one.

    `details` say what the number means (evaluators.judge); they are empty where it was measured before they were kept. The
    evaluator `training` is the test accuracy in a committed generation's epochs: `last`, and apart from it `best`. `node` is
    the key of what was measured and `made_by` the experiment, arm, seed and generation that did the work.
    """
    details = store.details_of(experiment["id"])
    uses = store.uses_of(experiment["id"])
    committed = {use["key"] for use in uses if use["node_state"] == "SUCCEEDED" or use["made_by"]}  # or is made again
    made_by = {use["key"]: use["made_by"] for use in uses}
    tested: dict[str, tuple[str, int | None]] = {}
    for arm, seed in _table_rows(experiment):
        of_run = {"arm": arm, "seed": seed}
        if arm not in tested:
            tested[arm] = _tested(_part_of(experiment, arm, "data"))
        label, n = tested[arm]
        generations: dict[int, list[Row]] = {}
        for row in store.epochs_of(experiment["id"], arm, seed):
            if row["key"] in committed and "test/accuracy" in row["metrics"]:
                generations.setdefault(row["generation_index"], []).append(row)
        for generation, measured in sorted(generations.items()):
            where = of_run | {"generation": generation, "evaluator": "training", "dataset": label}
            node = {"node": measured[0]["key"], "made_by": made_by[measured[0]["key"]]}
            yield from (where | row | node for row in _training_rows(measured, n))
        for row in store.results_of(experiment["id"], arm, seed):
            about = details.get(row["key"], {})
            chosen_on = search_view.note(experiment, arm, row["dataset"])
            yield {
                **of_run,
                "generation": row["generation_index"],
                **{name: row[name] for name in ("evaluator", "dataset", "metric", "value", "low", "high", "n")},
                "details": about | {"notes": [*about.get("notes", []), *chosen_on]} if chosen_on else about,
                "node": row["key"],
                "made_by": made_by[row["key"]],
            }


def _training_rows(measured: list[Row], n: int | None) -> Iterator[dict[str, Any]]:
    """The last of a generation's epochs and the best (the earliest of equals), each with its epoch."""
    measured = sorted(measured, key=lambda row: row["epoch"])
    selected = f"best of {len(measured)} measured epochs on the test images"
    best = max(measured, key=lambda row: row["metrics"]["test/accuracy"])
    for name, row, notes in (("last", measured[-1], []), ("best", best, [selected])):
        value = row["metrics"]["test/accuracy"]
        low, high = (None, None) if n is None else _interval(value, n)
        yield {
            "metric": f"test_accuracy/{name}",
            "value": value,
            "low": low,
            "high": high,
            "n": n,
            "details": {"epoch": row["epoch"], "notes": notes},
        }


def _interval(value: float, n: int) -> tuple[float | None, float | None]:
    score = intervals.share(round(value * n), n)
    return score.low, score.high


def _tested(settings: dict[str, Any]) -> tuple[str, int | None]:
    """What tables call the data, and how many test images it has; None where it is not on this machine."""
    try:
        spec: data.AnyData = TypeAdapter(data.DataSpec).validate_python(settings)
    except ValidationError:  # posted under other code
        return str(settings["name"]), None
    return spec.label, None if spec.problem() else spec.test_size() or None


def _table_rows(experiment: Row) -> list[tuple[str, int]]:
    """Arm and seed of every row; weights from a file have one row."""
    spec = experiment["spec"]
    rows = []
    for arm in spec["arms"]:
        from_file = "uri" in (arm.get("checkpoint") or {})
        rows += [(arm["name"], seed) for seed in (spec["seeds"][:1] if from_file else spec["seeds"])]
    return rows


def _part_of(experiment: Row, arm: str, part: str) -> dict[str, Any]:
    """`data`, `model` or `train` of an arm: its own, or the experiment's."""
    spec = experiment["spec"]
    own = next(each.get(part) for each in spec["arms"] if each["name"] == arm)
    found: dict[str, Any] = own or spec[part]
    return found


def _rows(experiment: Row, uses: list[Row], latest: dict[str, Row]) -> Iterator[dict[str, Any]]:
    """Per arm and seed: the generation it is in, the epoch, and the last test accuracy it measured."""
    chains: dict[tuple[str, int], list[Row]] = {}
    for use in uses:
        if use["kind"] == "generation":
            chains.setdefault((use["arm"], use["seed"]), []).append(use)
    for arm, seed in _table_rows(experiment):
        train = _part_of(experiment, arm, "train")
        chain = chains.get((arm, seed), [])
        begun = [latest[use["key"]] for use in chain if use["key"] in latest]
        row = max(begun, key=lambda each: each["generation"], default=None)
        done = sum(use["node_state"] == "SUCCEEDED" for use in chain)
        yield {
            "arm": arm,
            "seed": seed,
            "generation": row["generation"] if row else None,
            "generations": train["generations"],
            "generations_committed": done,
            "epoch": row["epoch"] if row else None,
            "epochs": train["epochs"],
            "phase": row["phase"] if row else None,
            "train_accuracy": row["metrics"].get("train/accuracy") if row else None,
            "test_accuracy": row["metrics"].get("test/accuracy") if row else None,
        }


def _progress(
    experiment: Row, uses: list[Row], latest: dict[str, Row], training_began: float | None, now: float
) -> dict[str, Any]:
    epochs = {arm["name"]: _part_of(experiment, arm["name"], "train")["epochs"] for arm in experiment["spec"]["arms"]}
    judged_only = {arm["name"] for arm in experiment["spec"]["arms"] if arm.get("checkpoint")}
    generations = {use["key"]: use for use in uses if use["kind"] == "generation" and use["arm"] not in judged_only}
    evaluations = {use["key"]: use for use in uses if use["kind"] == "evaluation"}
    if experiment["spec"].get("search"):  # what was given up is not expected any more
        generations, evaluations = (
            {key: use for key, use in each.items() if use["node_state"] != "SKIPPED"} for each in (generations, evaluations)
        )
    cached = sum(epochs[use["arm"]] for use in generations.values() if use["cached"])
    done = sum(latest[key]["epoch"] + 1 if key in latest else 0 for key in generations)
    total = sum(epochs[use["arm"]] for use in generations.values())
    left = None
    if training_began is not None and done - cached > 1 and done < total and experiment["state"] in LIVE:
        left = round((now - training_began) / (done - cached - 1) * (total - done), 1)
    return {
        "epochs_done": done,
        "epochs_total": total,
        "epochs_cached": cached,
        "evaluations_done": sum(use["node_state"] == "SUCCEEDED" for use in evaluations.values()),
        "evaluations_total": len(evaluations),
        "training_left_s": left,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
