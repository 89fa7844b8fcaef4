"""What a researcher is told of a search: every trial with its settings and scores, who is kept, and what it chose on."""

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

ON_TEST = "a search chose the settings on the test images, as was asked for: their test scores are too good"
ON_HELD_OUT = "a search chose the settings on held-out images: train the best anew, and judge it on the test images"


def view(store: Store, experiment: Experiment, uses: list[NodeUse]) -> dict[str, Any] | None:
    """The trials of the experiment's search, best first; None where it has none, or was posted under other code.

    `objective` has the mean over seeds after every judged generation, in the score's `unit`. `state` is WAITING, RUNNING,
    COMPLETE (its last generation is judged), STOPPED or FAILED. `kept` are those that `evaluations` judge once the search is
    over.
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
                str(generation): _told(search.sign * score) for generation, score in sorted(scores[first].items())
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
    """What tables call the images that the search chooses on."""
    return next(node.target_label for nodes in trials.objectives.values() for node in nodes.values())


def warnings(experiment: Experiment) -> list[dict[str, Any]]:
    """Of a search that chooses on the test images, as the warnings of training are written."""
    search = experiment.spec.get("search")
    if not search or search["objective"]["on"] != "test":
        return []
    return [{"arm": search["arm"], "seed": None, "generation": None, "message": ON_TEST}]


def note(experiment: Experiment, arm: str, dataset: str) -> list[str]:
    """What a reader of a trial's score on `dataset` must know; nothing of other arms and data."""
    found = trials_of(experiment)
    if found is None or arm not in found[1].same or dataset != label(found[1]):
        return []
    return [ON_TEST if found[1].search.objective.on == "test" else ON_HELD_OUT]


def trials_of(experiment: Experiment) -> tuple[ExperimentSpec, Trials] | None:
    """The spec of the experiment and the trials of its search, if it has one."""
    return _read(json.dumps(experiment.spec)) if experiment.spec.get("search") else None


@lru_cache(maxsize=16)
def _read(text: str) -> tuple[ExperimentSpec, Trials] | None:
    try:
        spec = ExperimentSpec.model_validate_json(text)
    except ValidationError:
        return None
    return spec, Trials(spec)


def _told(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _settings(spec: ExperimentSpec, trial: str) -> dict[str, Any]:
    assert spec.search is not None
    method = spec.arm(trial).method
    assert method is not None
    return {field: value for field, value in method.model_dump(mode="json").items() if field in spec.search.space}


def _state(experiment: ExperimentState, states: dict[int, list[NodeState]], judged: bool) -> str:
    every = [each for of_one in states.values() for each in of_one]
    if NodeState.FAILED in every:
        return "FAILED"
    if judged:
        return "COMPLETE"
    if experiment in TERMINAL:
        return "STOPPED"
    return "RUNNING" if NodeState.RUNNING in every else "WAITING"
