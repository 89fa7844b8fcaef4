"""Expands a search: draws the trials and writes them out as arms, so that plans need no notion of a search.

A value depends only on the seed of the search, the number of the trial, and the field. Increasing the number of trials
or adding a field to the space therefore does not change the values of the other trials and fields.
"""

import json
import math
from collections.abc import Collection
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from orchestrator.intake import names
from orchestrator.intake.salvage import read_part, strictly
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem, nearest
from orchestrator.spec.search import Distribution, Search
from trainer import methods
from trainer.core.mistakes import wording
from trainer.core.seeding import generator

_DIGITS = 6
"""The number of significant digits of a drawn number. More digits would be harder to read."""


def draw(distribution: Distribution, seed: int, trial: int, field: str) -> Any:
    """Returns the value of `field` in a trial."""
    random = generator(seed, "search", trial, field)
    if distribution.choice is not None:
        return distribution.choice[int(torch.randint(len(distribution.choice), (), generator=random))]
    if distribution.int is not None:
        low, high = distribution.int
        return int(torch.randint(low, high + 1, (), generator=random))
    position = float(torch.rand((), generator=random, dtype=torch.float64))
    if distribution.log_uniform is not None:
        start, end = distribution.log_uniform
        value = math.exp(math.log(start) + position * (math.log(end) - math.log(start)))
    else:
        assert distribution.uniform is not None
        start, end = distribution.uniform
        value = start + position * (end - start)
    return min(max(float(f"{value:.{_DIGITS}g}"), float(start)), float(end))


def expand(
    raw: dict[str, Any], source: SourceMap, refused: Collection[str] = ()
) -> tuple[dict[str, Any], SourceMap, list[Problem]]:
    """Returns `raw` with the trials of its search as arms, the extended source map, and the problems of the space.

    An invalid search is returned unchanged, because `check` reports its problems. A search whose trials are already
    written out is returned unchanged as well. No code runs of methods whose names are in `refused`.
    """
    if raw.get("search") is None:
        return raw, source, []
    raw = raw | {"search": _without_short_forms(raw["search"])}
    search, arms = read_part(_SEARCH, raw["search"]).whole, raw.get("arms")
    if search is None or search.arms or not isinstance(arms, list):
        return raw, source, []
    index = next((i for i, arm in enumerate(arms) if isinstance(arm, dict) and arm.get("name") == search.arm), None)
    if index is None:
        names = [arm["name"] for arm in arms if isinstance(arm, dict) and isinstance(arm.get("name"), str)]
        message = f"{search.arm!r} is not an arm of this experiment"
        return raw, source, [Problem("/search/arm", "UNKNOWN_VALUE", message, nearest(search.arm, names))]
    if not isinstance(method := arms[index].get("method"), dict):
        message = f"{search.arm!r} has no method to tune: name another arm"
        return raw, source, [Problem("/search/arm", "CONTRADICTION", message)]
    if str(method.get("name")) not in refused and (problems := _space_problems(search, method)):
        return raw, source, problems
    trials = [_trial(raw, arms[index], search, number) for number in range(search.trials)]
    names = [trial["name"] for trial in trials]
    given = raw.get("evaluations", [])
    changed = {
        "search": {"keep": min(search.keep, search.trials)}
        | raw["search"]
        | {"holdout": search.holdout, "arms": names},
        "arms": [*arms[:index], *trials, *arms[index + 1 :]],
        "evaluations": _evaluations(given, search.arm, names, raw["search"]["objective"]["evaluator"]),
    }
    return raw | changed, _moved(source, search, index, len(arms), given), []


def _moved(source: SourceMap, search: Search, index: int, arms: int, evaluations: object) -> SourceMap:
    """Returns the source map after the expansion.

    The trials replace the arm at `index`, of `arms` arms in total, and the objective is appended to the `evaluations`.
    """
    trials = [f"/arms/{index + number}" for number in range(search.trials)]
    before = dict.fromkeys(trials, f"/arms/{index}")
    before |= {f"{trial}/method/{field}": f"/search/space/{field}" for trial in trials for field in search.space}
    before |= {f"/arms/{later + search.trials - 1}": f"/arms/{later}" for later in range(index + 1, arms)}
    if isinstance(evaluations, list):
        before[f"/evaluations/{len(evaluations)}"] = "/search/objective"
    return source.then(before, copies=trials)


def _trial(raw: dict[str, Any], arm: dict[str, Any], search: Search, number: int) -> dict[str, Any]:
    """Returns the arm of one trial."""
    drawn = {field: draw(distribution, search.seed, number, field) for field, distribution in search.space.items()}
    width = max(2, len(str(search.trials - 1)))
    trial = arm | {"name": names.of_trial(search.arm, number, width), "method": arm["method"] | drawn}
    data = arm.get("data") or raw.get("data")
    if search.objective.on == "heldout" and isinstance(data, dict) and not data.get("holdout"):
        trial["data"] = data | {"holdout": search.holdout}
    return trial


def _evaluations(given: Any, arm: str, trials: list[str], evaluator: Any) -> Any:
    """Returns the evaluations with `arm` replaced by the trials, plus the objective on every generation."""
    if not isinstance(given, list):
        return given
    named_by_trials = []
    for each in given:
        if isinstance(each, dict) and isinstance(named := each.get("arms"), list) and arm in named:
            at = named.index(arm)
            each = each | {"arms": [*named[:at], *trials, *(one for one in named[at + 1 :] if one != arm)]}
        named_by_trials.append(each)
    return [*named_by_trials, {"evaluator": evaluator, "on": ["every"], "arms": trials}]


def _without_short_forms(written: Any) -> Any:
    """Writes out the short forms: an evaluator given as a name, and no holdout for an objective on the test images."""
    objective = written.get("objective") if isinstance(written, dict) else None
    if not isinstance(objective, dict):
        return written
    if isinstance(name := objective.get("evaluator"), str):
        written = written | {"objective": objective | {"evaluator": {"name": name}}}
    return written | {"holdout": 0.0} if objective.get("on") == "test" and "holdout" not in written else written


def _space_problems(search: Search, method: dict[str, Any]) -> list[Problem]:
    """Returns the problems of the method with values that could be drawn."""
    kind = methods.METHODS.get(str(method.get("name")))
    if kind is None:
        return []  # reported as a problem of the arm
    adapter, problems = TypeAdapter(kind), []
    known = [name for name in kind.model_fields if name != "name"]
    for field, distribution in search.space.items():
        pointer = f"/search/space/{field}"
        if field not in known:
            message = f"{field!r} is not a setting of {method['name']}"
            problems.append(Problem(pointer, "UNKNOWN_FIELD", message, nearest(field, known)))
            continue
        for value in distribution.extremes:
            try:
                strictly(adapter, method | {field: value})
            except ValidationError as error:
                found = [wording(each) for each in error.errors() if each["loc"][:1] == (field,)]
                problems += [Problem(pointer, "OUT_OF_RANGE", f"{each}, got {json.dumps(value)}") for each in found[:1]]
    return problems


_SEARCH: TypeAdapter[Search] = TypeAdapter(Search)
