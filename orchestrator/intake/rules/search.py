"""What a search and the rest of its spec contradict each other in; above all, every way to choose on the test images."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators import EvaluatorSpec, TransferEvaluator
from orchestrator.problems import Problem, nearest
from orchestrator.spec.search import Search
from trainer.core import data
from trainer.spec import TrainSettings


def search_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Of a spec whose trials are written out; what pydantic says of the search itself is not said again."""
    try:
        search = _SEARCH.validate_json(json.dumps(raw.get("search")))
    except ValidationError:
        return
    if search is None or not search.arms:
        return
    listed = raw["arms"] if isinstance(raw.get("arms"), list) else []
    by_name = {arm["name"]: arm for arm in listed if isinstance(arm, dict) and isinstance(arm.get("name"), str)}
    for index, name in enumerate(search.arms):
        if name not in by_name:
            message = f"{name!r} is not an arm of this experiment: leave arms out, and the trials are drawn again"
            yield Problem(f"/search/arms/{index}", "UNKNOWN_VALUE", message, nearest(name, list(by_name)))
    trials = [by_name[name] for name in search.arms if name in by_name]
    if len(search.arms) != search.trials:
        message = (
            f"{search.trials} trials are asked for and {len(search.arms)} listed: leave arms out to draw them again"
        )
        yield _contradiction("trials", message)
    if search.keep > search.trials:
        yield _contradiction("keep", f"{search.keep} cannot be kept of {search.trials} trials: keep at most as many")
    resources = raw.get("resources")
    if isinstance(resources, dict) and type(workers := resources.get("workers")) is int and workers > 1:
        message = f"a trial is trained by one worker, got {workers}: use 1, trials run beside each other"
        yield Problem("/resources/workers", "CONTRADICTION", message)
    yield from _listed_problems(search, raw, trials)
    yield from _rung_problems(search, raw, trials)
    yield from _split_problems(search, raw, trials)
    yield from _score_problems(search)


def _listed_problems(search: Search, raw: dict[str, Any], trials: list[dict[str, Any]]) -> Iterator[Problem]:
    """Of trials that were written out before: what a search that drew them would not have written."""
    again = "leave search.arms out, and the trials are drawn again"
    if len(set(search.arms)) < len(search.arms):
        yield _contradiction("arms", f"a trial stands here for the second time: {again}")
    if wrong := [
        trial["name"] for trial in trials if not isinstance(trial.get("method"), dict) or trial.get("checkpoint")
    ]:
        yield _contradiction("arms", f"{wrong[0]!r} is not trained, so it is no trial: {again}")
    if wrong := [trial["name"] for trial in trials if (trial.get("fork") or {}).get("experiment")]:
        yield _contradiction(
            "arms", f"{wrong[0]!r} goes on from an earlier experiment, which a trial cannot: leave its fork out"
        )
    lengths = {
        json.dumps((trial.get("train") or raw.get("train") or {}).get("generations"))
        for trial in trials
        if _train_is_read(trial, raw)
    }
    if len(lengths) > 1:
        yield _contradiction("arms", f"the trials have {' and '.join(sorted(lengths))} generations: give all as many")
    objective = json.loads(search.objective.evaluator.model_dump_json())
    judged = raw["evaluations"] if isinstance(raw.get("evaluations"), list) else []
    whole = len(trials) == len(search.arms) == search.trials
    if whole and not any(_judges(each, objective, search.arms) for each in judged):
        yield _contradiction("objective", f"no evaluation measures it after every generation of every trial: {again}")


def _train_is_read(trial: dict[str, Any], raw: dict[str, Any]) -> bool:
    return isinstance(trial.get("train") or raw.get("train") or {}, dict)


def _judges(evaluation: Any, objective: dict[str, Any], trials: tuple[str, ...]) -> bool:
    """Whether the evaluation is the objective, on every generation of all `trials`."""
    if not isinstance(evaluation, dict) or evaluation.get("on") != ["every"]:
        return False
    arms = evaluation.get("arms")
    named = set(trials) <= {arm for arm in arms if isinstance(arm, str)} if isinstance(arms, list) else arms is None
    try:
        written = _EVALUATOR.validate_json(json.dumps(evaluation.get("evaluator")))
    except ValidationError:
        return False
    return named and json.loads(written.model_dump_json()) == objective


def _rung_problems(search: Search, raw: dict[str, Any], trials: list[dict[str, Any]]) -> Iterator[Problem]:
    usual = TrainSettings.model_fields["generations"].default
    trains = [trial.get("train") or raw.get("train") or {} for trial in trials[:1]]
    given = [train.get("generations", usual) for train in trains if isinstance(train, dict)]
    for generations in given:
        if type(generations) is int and search.early_stop and 1 < generations <= search.early_stop.min_generations:
            message = (
                f"no generation is left to save after {search.early_stop.min_generations}: the last of {generations} is"
            )
            yield _contradiction(
                "early_stop/min_generations", f"{message} {generations - 1}; use less, or early_stop null"
            )


def _split_problems(search: Search, raw: dict[str, Any], trials: list[dict[str, Any]]) -> Iterator[Problem]:
    by_name = 'give a share, or ask for the test images by name: "on": "test"'
    shares = {_share(trial.get("data") or raw.get("data")) for trial in trials} - {None}
    if search.objective.on == "test":
        if search.holdout:
            yield _contradiction(
                "holdout", f"an objective on test holds nothing out, got {search.holdout}: leave one of them out"
            )
        for share in sorted(share for share in shares if share):
            message = f"the data holds {share} out in place of its test images: leave that out, or on"
            yield _contradiction("objective/on", message)
        return
    if not search.holdout:
        yield _contradiction(
            "holdout", f"without held-out images the objective would be measured on the test images: {by_name}"
        )
    elif other := sorted(share for share in shares if share is not None and share != search.holdout):
        message = f"the search holds {search.holdout} out and the data {other[0]}: give the data none, or the same"
        yield _contradiction("holdout", message)
    evaluator = search.objective.evaluator
    if isinstance(evaluator, TransferEvaluator):
        for index, text in enumerate(evaluator.targets):
            try:
                target = data.named(text)
            except ValueError:
                continue  # told of the evaluation that the objective is
            if not target.holdout:
                remedy = f'write "{text}%{search.holdout!r}" to hold training images out, or ask for it by name: "on": "test"'
                message = f"{text!r} would be judged on its test images: {remedy}"
                yield _contradiction(f"objective/evaluator/targets/{index}", message)


def _score_problems(search: Search) -> Iterator[Problem]:
    objective, evaluator = search.objective, search.objective.evaluator
    if isinstance(evaluator, TransferEvaluator) and len(evaluator.targets) > 1:
        yield _contradiction("objective/evaluator/targets", "an objective is one number: name one target")
    known = evaluator.score_names()
    if known and objective.metric not in known:
        message = f"{objective.metric!r} is not a score of {evaluator.name}; it has {', '.join(known)}"
        yield Problem("/search/objective/metric", "UNKNOWN_VALUE", message, nearest(objective.metric, known))
    wanted = {"higher": "max", "lower": "min"}.get(evaluator.about(objective.metric).better or "")
    if wanted not in (None, objective.mode):
        message = f"of {objective.metric} the {'lower' if wanted == 'min' else 'higher'} is better: use mode {wanted}"
        yield _contradiction("objective/mode", message)


def _share(settings: Any) -> float | None:
    """What the data holds out; None where that cannot be read."""
    share = settings.get("holdout", 0.0) if isinstance(settings, dict) else None
    return float(share) if isinstance(share, int | float) and 0 <= share <= 1 else None


def _contradiction(where: str, message: str) -> Problem:
    return Problem(f"/search/{where}", "CONTRADICTION", message)


_EVALUATOR: TypeAdapter[Any] = TypeAdapter(EvaluatorSpec)
_SEARCH: TypeAdapter[Search | None] = TypeAdapter(Search | None)
