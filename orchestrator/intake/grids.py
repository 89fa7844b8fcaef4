"""Expands grids: every combination of the listed values becomes an arm.

`{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [0.001, 0.01, 0.1]}}` is expanded into
three arms, named `seal-ascent_scale-0.001` and so on (`names`). A field without a dot is a setting of the method. The
fields `train.epochs`, `model.width` and `data.label_noise` belong to the training settings, network and data of the
arm. Where other parts of the spec name an arm by a name that was too long, they get the shorter one.
"""

import itertools
import json
from typing import Any

from orchestrator.intake import names
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem
from orchestrator.spec import MAX_ARMS, MAX_NAME

_PARTS = ("method", "train", "model", "data")
Grid = dict[str, list[Any]]


def expand(raw: dict[str, Any], source: SourceMap) -> tuple[dict[str, Any], SourceMap, list[Problem]]:
    """Returns `raw` with every grid expanded, the extended source map, and the problems of the grids."""
    given = raw.get("arms")
    if not isinstance(given, list) or not any(isinstance(arm, dict) and "grid" in arm for arm in given):
        return raw, source, []
    arms, problems, before, shortened = list[Any](), list[Problem](), dict[str, str](), dict[str, str]()
    for index, arm in enumerate(given):
        if not isinstance(arm, dict) or "grid" not in arm:
            made = [arm]
        elif problem := _problem(f"/arms/{index}/grid", arm["grid"]):
            problems.append(problem)
            made = []
        else:
            base = {name: value for name, value in arm.items() if name != "grid"}
            combinations = [dict(zip(arm["grid"], values, strict=True)) for values in _product(arm["grid"])]
            made = [_filled(raw, base, values) for values in combinations]
            if isinstance(name := base.get("name"), str):
                found = names.of_combinations(name, combinations)
                made = [each | {"name": own} for each, own in zip(made, found, strict=True)]
                long = (names.written_out(name, values) for values in combinations)
                shortened |= {each: own for each, own in zip(long, found, strict=True) if len(each) > MAX_NAME}
        before |= {f"/arms/{len(arms) + number}": f"/arms/{index}" for number in range(len(made))}
        arms += made
        if len(arms) > MAX_ARMS:
            message = f"grids make more than {MAX_ARMS} arms: list fewer values"
            problems.append(Problem("/arms", "OUT_OF_RANGE", message))
            break
    expanded = raw | {"arms": arms[:MAX_ARMS]}
    return _renamed(expanded, shortened) if shortened else expanded, source.then(before), problems


def _renamed(value: Any, new: dict[str, str]) -> Any:
    """Returns `value` with every text that is a key of `new` replaced."""
    if isinstance(value, str):
        return new.get(value, value)
    if isinstance(value, list):
        return [_renamed(each, new) for each in value]
    return {key: _renamed(each, new) for key, each in value.items()} if isinstance(value, dict) else value


def _problem(pointer: str, grid: object) -> Problem | None:
    """Returns the first problem of a grid at `pointer`, if it has one."""
    if not isinstance(grid, dict) or not grid:
        return Problem(pointer, "WRONG_TYPE", "a grid is an object of fields, each with a list of values")
    for field, values in grid.items():
        at = f"{pointer}/{field}"
        if "." in field and field.split(".")[0] not in _PARTS:
            return Problem(at, "UNKNOWN_FIELD", f"{field!r} is not a field of an arm: begin with {', '.join(_PARTS)}")
        if not isinstance(values, list) or not values:
            return Problem(at, "WRONG_TYPE", "a grid's field has a list of at least one value")
        written = [json.dumps(value, sort_keys=True) for value in values]
        if twice := next((text for index, text in enumerate(written) if text in written[:index]), None):
            return Problem(at, "DUPLICATE", f"the value {twice} is listed more than once: list each value once")
    return None


def _product(grid: Grid) -> "itertools.islice[tuple[Any, ...]]":
    """Returns the combinations of the grid's values, but not many more than an experiment may have."""
    return itertools.islice(itertools.product(*grid.values()), MAX_ARMS + 1)


def _filled(raw: dict[str, Any], arm: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Returns `arm` with one combination of the grid's values."""
    for field, value in values.items():
        part, _, name = field.rpartition(".") if "." in field else ("method", "", field)
        part, *path = [*part.split("."), name]
        below = arm.get(part)
        if below is None:
            below = raw.get(part, {}) if part in ("model", "data") else {}
        arm = arm | {part: _placed(below, path, value)}
    return arm


def _placed(below: Any, path: list[str], value: Any) -> Any:
    """Returns `below` with `value` at `path`."""
    if not isinstance(below, dict):
        return below  # not an object, which is reported as a problem of its own
    if len(path) == 1:
        return below | {path[0]: value}
    return below | {path[0]: _placed(below.get(path[0], {}), path[1:], value)}
