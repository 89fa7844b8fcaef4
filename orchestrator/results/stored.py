"""The arms of a stored spec, which may be from another version of the code."""

from typing import Any

from orchestrator.store.records import Experiment


def table_rows(experiment: Experiment) -> list[tuple[str, int]]:
    """Returns arm and seed of every row. Weights from a file have only one row."""
    spec = experiment.spec
    rows = []
    for arm in spec["arms"]:
        from_file = "uri" in (arm.get("checkpoint") or {})
        rows += [(arm["name"], seed) for seed in (spec["seeds"][:1] if from_file else spec["seeds"])]
    return rows


def part_of(experiment: Experiment, arm: str, part: str) -> dict[str, Any]:
    """Returns the `data`, `model` or `train` settings of an arm: its own or else the experiment's."""
    spec = experiment.spec
    own = next(each.get(part) for each in spec["arms"] if each["name"] == arm)
    found: dict[str, Any] = own or spec[part]
    return found


def generations_of(experiment: Experiment, arm: str) -> int | None:
    """Returns the number of generations of an arm, counting generation 0; None if the arm is a checkpoint."""
    (checkpoint,) = (each.get("checkpoint") for each in experiment.spec["arms"] if each["name"] == arm)
    return None if checkpoint else int(part_of(experiment, arm, "train")["generations"])
