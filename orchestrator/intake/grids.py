"""Arms written as a grid: every combination of the listed values becomes an arm of its own.

`{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [0.001, 0.01, 0.1]}}` is three arms, named
`seal-ascent_scale-0.001` and so on. A field without a dot is the method's; `train.epochs`, `model.width` and
`data.label_noise` are the arm's own recipe, network and data.
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
    """`raw` with every grid as its arms, the map with their places, and what is wrong with the grids, at its place in `raw`."""
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
    if not isinstance(grid, dict) or not grid:
        return Problem(pointer, "WRONG_TYPE", "a grid is an object of fields, each with a list of values")
    for field, values in grid.items():
        at = f"{pointer}/{field}"
        if "." in field and field.split(".")[0] not in _PARTS:
            return Problem(at, "UNKNOWN_FIELD", f"{field!r} is not a field of an arm: begin with {', '.join(_PARTS)}")
        if not isinstance(values, list) or not values:
            return Problem(at, "WRONG_TYPE", "a grid's field has a list of at least one value")
        written = [json.dumps(value, sort_keys=True) for value in values]
        if len(set(written)) < len(written):
            return Problem(at, "DUPLICATE", "a value stands here for the second time")
    return None


def _product(grid: Grid) -> "itertools.islice[tuple[Any, ...]]":
    return itertools.islice(itertools.product(*grid.values()), MAX_ARMS + 1)


def _filled(raw: dict[str, Any], arm: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
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
    if not isinstance(below, dict):
        return below  # what stands there is wrong by itself and is reported as such
    if len(path) == 1:
        return below | {path[0]: value}
    return below | {path[0]: _placed(below.get(path[0], {}), path[1:], value)}


def _text(value: Any) -> str:
    """`value` as a piece of a name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-")
