"""The trials of a search are drawn and written out as arms, so that a plan needs to know nothing of searching.

A value depends on the search's seed, the trial's number and the field alone: more trials begin with the same ones, and another
field in the space moves no other.
"""

import json
import math
from collections.abc import Collection
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from orchestrator.intake.salvage import read_part, strictly
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem, nearest
from orchestrator.spec.search import Distribution, Search
from trainer import methods
from trainer.core.seeding import generator

_DIGITS = 6
"""Significant ones of a drawn number: more would only be harder to read."""


def draw(distribution: Distribution, seed: int, trial: int, field: str) -> Any:
    """The value of `field` in a trial."""
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
    """`raw` with the trials of its search as arms, the map with their places, and what is wrong with the space.

    A search that cannot be read is left as it is, for the check of the spec to report; one whose trials are there, too. Of
    methods that are `refused` by name no code runs.
    """
    if raw.get("search") is None:
        return raw, source, []
    raw = raw | {"search": _short(raw["search"])}
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
    """The map after the trials took the place of the arm at `index` of so many, and the objective became an evaluation."""
    trials = [f"/arms/{index + number}" for number in range(search.trials)]
    before = dict.fromkeys(trials, f"/arms/{index}")
    before |= {f"{trial}/method/{field}": f"/search/space/{field}" for trial in trials for field in search.space}
    before |= {f"/arms/{later + search.trials - 1}": f"/arms/{later}" for later in range(index + 1, arms)}
    if isinstance(evaluations, list):
        before[f"/evaluations/{len(evaluations)}"] = "/search/objective"
    return source.then(before, copies=trials)


def _trial(raw: dict[str, Any], arm: dict[str, Any], search: Search, number: int) -> dict[str, Any]:
    drawn = {field: draw(distribution, search.seed, number, field) for field, distribution in search.space.items()}
    width = max(2, len(str(search.trials - 1)))
    trial = arm | {"name": f"{search.arm}-t{number:0{width}}", "method": arm["method"] | drawn}
    data = arm.get("data") or raw.get("data")
    if search.objective.on == "heldout" and isinstance(data, dict) and not data.get("holdout"):
        trial["data"] = data | {"holdout": search.holdout}
    return trial


def _evaluations(given: Any, arm: str, trials: list[str], evaluator: Any) -> Any:
    """With the trials wherever `arm` is named, and the objective on every generation of each."""
    if not isinstance(given, list):
        return given
    named_by_trials = []
    for each in given:
        if isinstance(each, dict) and isinstance(named := each.get("arms"), list) and arm in named:
            at = named.index(arm)
            each = each | {"arms": [*named[:at], *trials, *(one for one in named[at + 1 :] if one != arm)]}
        named_by_trials.append(each)
    return [*named_by_trials, {"evaluator": evaluator, "on": ["every"], "arms": trials}]


def _short(written: Any) -> Any:
    """An evaluator given by name alone is the one with its usual settings; a test objective holds nothing out."""
    objective = written.get("objective") if isinstance(written, dict) else None
    if not isinstance(objective, dict):
        return written
    if isinstance(name := objective.get("evaluator"), str):
        written = written | {"objective": objective | {"evaluator": {"name": name}}}
    return written | {"holdout": 0.0} if objective.get("on") == "test" and "holdout" not in written else written


def _space_problems(search: Search, method: dict[str, Any]) -> list[Problem]:
    """What the method says against values that could be drawn."""
    kind = methods.METHODS.get(str(method.get("name")))
    if kind is None:
        return []  # reported of the arm
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
                found = [each["msg"].removeprefix("Input ") for each in error.errors() if each["loc"][:1] == (field,)]
                problems += [Problem(pointer, "OUT_OF_RANGE", f"{each}, got {json.dumps(value)}") for each in found[:1]]
    return problems


_SEARCH: TypeAdapter[Search] = TypeAdapter(Search)
