"""Expands grids: every combination of the listed values becomes an arm.

`{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [0.001, 0.01, 0.1]}}` is expanded into
three arms, named `seal-ascent_scale-0.001` and so on. A field without a dot is a setting of the method. The fields
`train.epochs`, `model.width` and `data.label_noise` belong to the training settings, network and data of the arm.
"""

import itertools
import json
import re
from typing import Any

from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import Problem
from orchestrator.spec import MAX_ARMS

_PARTS = ("method", "train", "model", "data")
Grid = dict[str, list[Any]]


def expand(raw: dict[str, Any], source: SourceMap) -> tuple[dict[str, Any], SourceMap, list[Problem]]:
    """Returns `raw` with every grid expanded, the extended source map, and the problems of the grids."""
    given = raw.get("arms")
    if not isinstance(given, list) or not any(isinstance(arm, dict) and "grid" in arm for arm in given):
        return raw, source, []
    arms, problems, before = list[Any](), list[Problem](), dict[str, str]()
    for index, arm in enumerate(given):
        if not isinstance(arm, dict) or "grid" not in arm:
            made = [arm]
        elif found := _problem(f"/arms/{index}/grid", arm["grid"]):
            problems.append(found)
            made = []
        else:
            base = {name: value for name, value in arm.items() if name != "grid"}
            made = [_filled(raw, base, dict(zip(arm["grid"], values, strict=True))) for values in _product(arm["grid"])]
        before |= {f"/arms/{len(arms) + number}": f"/arms/{index}" for number in range(len(made))}
        arms += made
        if len(arms) > MAX_ARMS:
            message = f"grids make more than {MAX_ARMS} arms: list fewer values"
            problems.append(Problem("/arms", "OUT_OF_RANGE", message))
            break
    return raw | {"arms": arms[:MAX_ARMS]}, source.then(before), problems


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
    """Returns `arm` with one combination of the grid's values, and with the name for it."""
    for field, value in values.items():
        part, _, name = field.rpartition(".") if "." in field else ("method", "", field)
        part, *path = [*part.split("."), name]
        below = arm.get(part)
        if below is None:
            below = raw.get(part, {}) if part in ("model", "data") else {}
        arm = arm | {part: _placed(below, path, value)}
    suffix = "".join(f"-{field.split('.')[-1]}-{_text(value)}" for field, value in values.items())
    return arm | {"name": f"{arm['name']}{suffix}" if isinstance(arm.get("name"), str) else arm.get("name")}


def _placed(below: Any, path: list[str], value: Any) -> Any:
    """Returns `below` with `value` at `path`."""
    if not isinstance(below, dict):
        return below  # not an object, which is reported as a problem of its own
    if len(path) == 1:
        return below | {path[0]: value}
    return below | {path[0]: _placed(below.get(path[0], {}), path[1:], value)}


def _text(value: Any) -> str:
    """Returns `value` as a part of a name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-")
