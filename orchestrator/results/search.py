"""The results of a search: every trial with its settings and scores, the kept trials, and the selection data."""

import json
import math
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from orchestrator.plan import halving
from orchestrator.plan.search import Trials
from orchestrator.spec import ExperimentSpec
from orchestrator.states import TERMINAL, ExperimentState, NodeState
from orchestrator.store import Store
from orchestrator.store.records import Experiment, NodeUse

ON_TEST = (
    "a search selected the settings on the test images, as the spec requests: their test scores are biased upwards"
)
ON_HELD_OUT = (
    "a search selected the settings on held-out images: train the best again and evaluate it on the test images"
)


def view(store: Store, experiment: Experiment, uses: list[NodeUse]) -> dict[str, Any] | None:
    """Returns the trials of the experiment's search, best first, or None if it has no search or its spec is not valid.

    `objective` has the mean over the seeds after every evaluated generation, in the metric's `unit`. `state` is
    WAITING, RUNNING, COMPLETE (its last generation is evaluated), STOPPED or FAILED. `kept` marks the trials that
    `evaluations` evaluate after the search.
    """
    found = trials_of(experiment)
    if found is None:
        return None
    spec, trials = found
    search, ladder = trials.search, trials.ladder
    values = store.scores_of(experiment.id, search.objective.metric)
    scores = trials.scores(values)
    kept = trials.kept(values) if experiment.state in TERMINAL else []
    states: dict[str, dict[int, list[NodeState]]] = {}
    for use in uses:
        if use.kind == "generation":
            states.setdefault(use.arm, {}).setdefault(use.generation, []).append(use.state)
    rows = [
        {
            "arm": trial,
            "settings": _settings(spec, trial),
            "state": _state(experiment.state, states[trial], ladder.rungs[-1] in scores[first]),
            "kept": trial in kept,
            "generations": sum(
                all(each == NodeState.SUCCEEDED for each in of_one) for of_one in states[trial].values()
            ),
            "objective": {
                str(generation): _finite(search.sign * score) for generation, score in sorted(scores[first].items())
            },
            "same_as": None if trial == first else first,
        }
        for first in halving.standing(ladder, trials.distinct, scores)
        for trial in trials.same
        if trials.same[trial] == first
    ]
    return {
        "arm": search.arm,
        "objective": search.objective.model_dump(mode="json"),
        "unit": search.objective.evaluator.about(search.objective.metric).unit,
        "dataset": label(trials),
        "rungs": list(ladder.rungs),
        "best": {"arm": kept[0], "settings": _settings(spec, kept[0])} if kept else None,
        "note": ON_TEST if search.objective.on == "test" else ON_HELD_OUT,
        "trials": rows,
    }


def label(trials: Trials) -> str:
    """Returns the label in tables of the images on which the search selects."""
    return next(node.target_label for nodes in trials.objectives.values() for node in nodes.values())


def warnings(experiment: Experiment) -> list[dict[str, Any]]:
    """Returns the warning of a search that selects on the test images, in the format of the warnings of training."""
    search = experiment.spec.get("search")
    if not search or search["objective"]["on"] != "test":
        return []
    return [{"arm": search["arm"], "seed": None, "generation": None, "message": ON_TEST}]


def note(experiment: Experiment, arm: str, dataset: str) -> list[str]:
    """Returns the note that belongs to a trial's score on the data that the search selects on; else no note."""
    found = trials_of(experiment)
    if found is None or arm not in found[1].same or dataset != label(found[1]):
        return []
    return [ON_TEST if found[1].search.objective.on == "test" else ON_HELD_OUT]


def trials_of(experiment: Experiment) -> tuple[ExperimentSpec, Trials] | None:
    """Returns the spec of the experiment and the trials of its search, or None if it has no search or is not valid."""
    return _read(json.dumps(experiment.spec)) if experiment.spec.get("search") else None


@lru_cache(maxsize=16)
def _read(text: str) -> tuple[ExperimentSpec, Trials] | None:
    try:
        spec = ExperimentSpec.model_validate_json(text)
    except ValidationError:
        return None
    return spec, Trials(spec)


def _finite(score: float) -> float | None:
    """Returns a score that JSON can hold: None if the trial diverged or its score is undefined."""
    return score if math.isfinite(score) else None


def _settings(spec: ExperimentSpec, trial: str) -> dict[str, Any]:
    assert spec.search is not None
    method = spec.arm(trial).method
    assert method is not None
    return {field: value for field, value in method.model_dump(mode="json").items() if field in spec.search.space}


def _state(experiment: ExperimentState, states: dict[int, list[NodeState]], evaluated: bool) -> str:
    every = [each for of_one in states.values() for each in of_one]
    if NodeState.FAILED in every:
        return "FAILED"
    if evaluated:
        return "COMPLETE"
    if experiment in TERMINAL:
        return "STOPPED"
    return "RUNNING" if NodeState.RUNNING in every else "WAITING"
