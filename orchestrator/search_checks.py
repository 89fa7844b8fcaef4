"""What a search and the rest of its spec contradict each other in; above all, every way to choose on the test images."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators import TransferEvaluator
from orchestrator import metrics
from orchestrator.problems import Problem, nearest
from orchestrator.search import Search
from trainer.core import data
from trainer.spec import TrainSettings

_ACCURACY = ["top1", "top5", "loss", "ece"]


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
        message = f"{search.trials} trials are asked for and {len(search.arms)} listed: leave arms out to draw them again"
        yield _contradiction("trials", message)
    if search.keep > search.trials:
        yield _contradiction("keep", f"{search.keep} cannot be kept of {search.trials} trials: keep at most as many")
    resources = raw.get("resources")
    if isinstance(resources, dict) and type(workers := resources.get("workers")) is int and workers > 1:
        message = f"a trial is trained by one worker, got {workers}: use 1, trials run beside each other"
        yield Problem("/resources/workers", "CONTRADICTION", message)
    yield from _rung_problems(search, raw, trials)
    yield from _split_problems(search, raw, trials)
    yield from _score_problems(search)


def _rung_problems(search: Search, raw: dict[str, Any], trials: list[dict[str, Any]]) -> Iterator[Problem]:
    usual = TrainSettings.model_fields["generations"].default
    given = [(trial.get("train") or raw.get("train") or {}).get("generations", usual) for trial in trials[:1]]
    for generations in given:
        if type(generations) is int and search.early_stop and 1 < generations <= search.early_stop.min_generations:
            message = f"no generation is left to save after {search.early_stop.min_generations}: the last of {generations} is"
            yield _contradiction("early_stop/min_generations", f"{message} {generations - 1}; use less, or early_stop null")


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
    if evaluator.name == "accuracy" and objective.metric not in _ACCURACY:
        message = f"{objective.metric!r} is not a score of accuracy; it has {', '.join(_ACCURACY)}"
        yield Problem("/search/objective/metric", "UNKNOWN_VALUE", message, nearest(objective.metric, _ACCURACY))
    wanted = {"higher": "max", "lower": "min"}.get(metrics.about(evaluator.name, objective.metric).better or "")
    if wanted not in (None, objective.mode):
        message = f"of {objective.metric} the {'lower' if wanted == 'min' else 'higher'} is better: use mode {wanted}"
        yield _contradiction("objective/mode", message)


def _share(settings: Any) -> float | None:
    """What the data holds out; None where that cannot be read."""
    share = settings.get("holdout", 0.0) if isinstance(settings, dict) else None
    return float(share) if isinstance(share, int | float) else None


def _contradiction(where: str, message: str) -> Problem:
    return Problem(f"/search/{where}", "CONTRADICTION", message)


_SEARCH: TypeAdapter[Search | None] = TypeAdapter(Search | None)
