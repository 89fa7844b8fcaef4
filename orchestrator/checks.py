"""Reads a spec from raw JSON and reports *every* problem at once: where it is, what is wrong, and the nearest known name."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators import AnyEvaluator, EvaluatorSpec, PredictionDepth, TransferEvaluator
from orchestrator.spec import ExperimentSpec
from trainer.core import data, models
from trainer.methods import AnyMethod, MethodSpec
from trainer.spec import TrainSettings, method_with_recipe, with_recipe

MAX_NODES = 100_000
"""Generations that one experiment may ask for."""


@dataclass(frozen=True)
class Problem:
    """One mistake: a JSON pointer (RFC 6901), a stable code, a sentence, and the nearest known name if there is one."""

    pointer: str
    code: str
    message: str
    suggestion: str | None = None

    def as_json(self) -> dict[str, str]:
        return {key: value for key, value in asdict(self).items() if value is not None}


class InvalidSpec(ValueError):  # noqa: N818  the outcome's name
    """The spec has at least one problem; nothing was stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.message}" for problem in problems))
        self.problems = list(problems)


def check(raw: object) -> ExperimentSpec:
    """The resolved spec: recipe values filled in, every choice explicit. Raises InvalidSpec with all problems."""
    if not isinstance(raw, dict):
        raise InvalidSpec([Problem("", "WRONG_TYPE", f"An experiment is a JSON object, got {type(raw).__name__}.")])
    raw = _with_recipes(raw)
    problems: list[Problem] = []
    spec = None
    try:
        spec = ExperimentSpec.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        found = [_problem(details, raw) for details in error.errors(include_url=False)]
        first = {problem.pointer: problem for problem in reversed(found)}  # a union reports each member it tried
        problems += reversed(first.values())
    problems += _contradictions(raw)
    if spec is None or problems:
        raise InvalidSpec(problems)
    return _resolved(spec)


def _with_recipes(raw: dict[str, Any]) -> dict[str, Any]:
    train = raw.get("train")
    if not isinstance(train, dict):
        return raw
    raw = raw | {"train": with_recipe(train)}
    if isinstance(arms := raw.get("arms"), list):
        raw["arms"] = [
            arm | {"method": method_with_recipe(arm["method"], train.get("recipe"))}
            if isinstance(arm, dict) and isinstance(arm.get("method"), dict)
            else arm
            for arm in arms
        ]
    return raw


def _resolved(spec: ExperimentSpec) -> ExperimentSpec:
    points = (*spec.model.stage_points(), "fc")
    evaluations = tuple(
        evaluation.model_copy(update={"evaluator": evaluation.evaluator.model_copy(update={"layers": points})})
        if isinstance(evaluation.evaluator, PredictionDepth) and evaluation.evaluator.layers is None
        else evaluation
        for evaluation in spec.evaluations
    )
    return spec.model_copy(update={"evaluations": evaluations})


# --- contradictions: values that are fine alone and wrong together; each is looked for where its parts can be read ---


def _contradictions(raw: dict[str, Any]) -> Iterator[Problem]:
    model = _part(models.ModelSpec, raw.get("model", {"name": "resnet-digits"}))
    train = _part(TrainSettings, raw.get("train", {}))
    if train is not None:
        yield from (_contradiction(f"/train/{field}", message) for field, message in train.problems())
    names = [] if model is None else [name for name, _ in models.skeleton(model, classes=2).named_parameters()]
    for index, arm in enumerate(_list(raw.get("arms"))):
        method: AnyMethod | None = _part(MethodSpec, arm.get("method")) if isinstance(arm, dict) else None
        if method is not None and train is not None and names:
            for field, message in method.problems(train.epochs, names):
                yield _contradiction(f"/arms/{index}/method/{field}", message)
    arm_names = [arm.get("name") for arm in _list(raw.get("arms")) if isinstance(arm, dict)]
    yield from _repeated("/arms/{}/name", arm_names)
    yield from _repeated("/seeds/{}", _list(raw.get("seeds")))
    if train is not None and (total := len(arm_names) * len(_list(raw.get("seeds", [0]))) * train.generations) > MAX_NODES:
        yield _contradiction("", f"{total} generations are asked for (arms x seeds x generations); at most {MAX_NODES}")
    for index, evaluation in enumerate(_list(raw.get("evaluations"))):
        if isinstance(evaluation, dict):
            yield from _evaluation_problems(f"/evaluations/{index}", evaluation, raw, model, train)


def _evaluation_problems(
    pointer: str,
    evaluation: dict[str, Any],
    raw: dict[str, Any],
    model: models.DigitsResNet | models.ImageNetResNet | None,
    train: TrainSettings | None,
) -> Iterator[Problem]:
    for index, moment in enumerate(_list(evaluation.get("on"))):
        if train is not None and isinstance(moment, int) and moment >= train.generations:
            message = f"there is no generation {moment}: the last of {train.generations} is {train.generations - 1}"
            yield _contradiction(f"{pointer}/on/{index}", message)
    evaluator: AnyEvaluator | None = _part(EvaluatorSpec, evaluation.get("evaluator"))
    if evaluator is None:
        return
    source = _part(data.DataSpec, raw.get("data"))
    if isinstance(evaluator, TransferEvaluator):
        for index, name in enumerate(evaluator.targets):
            if name in data.names():
                yield from _unfit(f"{pointer}/evaluator", evaluator, data.named(name))
            else:
                message = f"{name!r} is not a data set; known are {', '.join(data.names())}"
                yield Problem(f"{pointer}/evaluator/targets/{index}", "UNKNOWN_VALUE", message, _nearest(name, data.names()))
    elif source is not None:
        yield from _unfit(f"{pointer}/evaluator", evaluator, source)
    if isinstance(evaluator, PredictionDepth) and evaluator.layers is not None and model is not None:
        layers = [name for name, _ in models.skeleton(model, classes=2).named_modules() if name]
        for index, layer in enumerate(evaluator.layers):
            if layer not in layers:
                yield Problem(
                    f"{pointer}/evaluator/layers/{index}",
                    "UNKNOWN_VALUE",
                    f"{model.name} has no layer {layer!r}",
                    _nearest(layer, layers),
                )


def _unfit(pointer: str, evaluator: AnyEvaluator, target: data.AnyData) -> Iterator[Problem]:
    for field, message in evaluator.problems(target):
        yield _contradiction(f"{pointer}/{field}", message)


def _part(kind: Any, raw: object) -> Any:
    """`raw` as `kind` without the fields that are wrong by themselves (reported already); None if nothing is left."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(raw))
    except ValidationError as error:
        wrong = {step for details in error.errors() for step in details["loc"] if isinstance(raw, dict) and step in raw}
        if not wrong or not isinstance(raw, dict):
            return None
        return _part(kind, {key: value for key, value in raw.items() if key not in wrong})


def _list(raw: object) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _repeated(pointer: str, values: list[Any]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Problem(pointer.format(index), "DUPLICATE", f"{value!r} stands here for the second time")


def _contradiction(pointer: str, message: str) -> Problem:
    return Problem(pointer, "CONTRADICTION", message)


# --- pydantic's errors in our words ---

_CODES = {"extra_forbidden": "UNKNOWN_FIELD", "missing": "MISSING_FIELD"}
_RANGES = ("greater_than", "less_than", "too_short", "too_long", "finite_number")
_CHOICES = ("literal_error", "union_tag_invalid")


def _problem(details: Any, raw: object) -> Problem:
    kind, context = str(details["type"]), details.get("ctx", {})
    path, known = _locate(list(details["loc"]), raw)
    name = path[-1] if path else ""
    if kind == "extra_forbidden":
        return Problem(_pointer(path), "UNKNOWN_FIELD", f"{name!r} is not a field here", _nearest(str(name), known))
    if kind in _CHOICES:
        expected = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
        given = context.get("tag") if kind == "union_tag_invalid" else details.get("input")
        if kind == "union_tag_invalid":
            path = [*path, "name"]
        message = f"{given!r} is not known here; expected {', '.join(expected)}"
        return Problem(_pointer(path), "UNKNOWN_VALUE", message, _nearest(str(given), expected))
    if kind == "union_tag_not_found":
        return Problem(_pointer([*path, "name"]), "MISSING_FIELD", "name is required")
    if kind == "missing":
        return Problem(_pointer(path), "MISSING_FIELD", f"{name} is required")
    code = "OUT_OF_RANGE" if kind.startswith(_RANGES) or "pattern" in kind else "WRONG_TYPE"
    value = details.get("input")
    shown = f", got {value!r}" if isinstance(value, str | int | float | bool) and len(str(value)) <= 100 else ""
    return Problem(_pointer(path), code, f"{details['msg'].removeprefix('Input ')}{shown}")


def _locate(location: list[str | int], raw: object) -> tuple[list[str | int], list[str]]:
    """The path of pydantic's `location` in `raw` (without union tags), and the field names known in its last object."""
    path: list[str | int] = []
    schema: dict[str, Any] = _SCHEMA
    for index, step in enumerate(location):
        schema = _dereferenced(schema)
        present = (isinstance(raw, dict) and step in raw) or (isinstance(raw, list) and isinstance(step, int))
        mapping = schema.get("discriminator", {}).get("mapping", {})
        if step in mapping:  # a union's tag, not a place in the document
            schema = _dereferenced({"$ref": mapping[step]})
            continue
        if not present and index < len(location) - 1:
            continue
        if index == len(location) - 1 and not present and isinstance(raw, str | int | float | bool | type(None)):
            break  # the member of a plain union that was tried
        path.append(step)
        if index < len(location) - 1 and isinstance(raw, dict | list):
            raw = raw[step]  # type: ignore[index]
            schema = schema.get("properties", {}).get(step) or schema.get("items") or {}
    return path, list(_dereferenced(schema).get("properties", {}))


def _dereferenced(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = _SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


_SCHEMA: dict[str, Any] = ExperimentSpec.model_json_schema()
