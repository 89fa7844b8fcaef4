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
from trainer.methods import MethodSpec
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
        problems += [_problem(details, raw) for details in error.errors(include_url=False) if not _consequence(details)]
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
    model = _part(_MODEL, raw.get("model", {"name": "resnet-digits"})).value
    train = _part(_TRAIN, raw.get("train", {}))
    if train.value is not None and not train.wrong & {"epochs", "generations", "schedule"}:
        yield from (_contradiction(f"/train/{field}", message) for field, message in train.value.problems())
    epochs = None if train.value is None or "epochs" in train.wrong else train.value.epochs
    generations = None if train.value is None or "generations" in train.wrong else train.value.generations
    names = [] if model is None else [name for name, _ in models.skeleton(model, classes=2).named_parameters()]
    arms = _list(raw.get("arms"), 64)
    for index, arm in enumerate(arms):
        method = _part(_METHOD, arm.get("method") if isinstance(arm, dict) else None)
        if method.value is not None and names:
            for field, message in method.value.problems(epochs, names):
                if field not in method.wrong:
                    yield _contradiction(f"/arms/{index}/method/{field}", message)
    yield from _repeated("/arms/{}/name", [arm.get("name") if isinstance(arm, dict) else None for arm in arms], str)
    seeds = _list(raw.get("seeds", [0]), 100)
    yield from _repeated("/seeds/{}", seeds, int)
    if generations is not None and (total := len(arms) * len(seeds) * generations) > MAX_NODES:
        yield _contradiction("", f"{total} generations are asked for (arms x seeds x generations); at most {MAX_NODES}")
    for index, evaluation in enumerate(_list(raw.get("evaluations"), 64)):
        if isinstance(evaluation, dict):
            yield from _evaluation_problems(f"/evaluations/{index}", evaluation, raw.get("data"), model, generations)


def _evaluation_problems(
    pointer: str,
    evaluation: dict[str, Any],
    source: object,
    model: models.DigitsResNet | models.ImageNetResNet | None,
    generations: int | None,
) -> Iterator[Problem]:
    for index, moment in enumerate(_list(evaluation.get("on"), 100)):
        if generations is not None and type(moment) is int and generations <= moment <= 1000:
            message = f"there is no generation {moment}: the last of {generations} is {generations - 1}"
            yield _contradiction(f"{pointer}/on/{index}", message)
    part = _part(_EVALUATOR, evaluation.get("evaluator"))
    evaluator: AnyEvaluator | None = part.value
    if evaluator is None:
        return
    trusted = not part.wrong & set(type(evaluator).model_fields)  # else its own fields' defaults would be judged
    if isinstance(evaluator, TransferEvaluator):
        for index, name in enumerate(evaluator.targets):
            if name not in data.names():
                message = f"{name!r} is not a data set; known are {', '.join(data.names())}"
                yield Problem(f"{pointer}/evaluator/targets/{index}", "UNKNOWN_VALUE", message, _nearest(name, data.names()))
            elif trusted:
                yield from _unfit(f"{pointer}/evaluator", evaluator, data.named(name))
    elif trusted:
        trained_on = _part(_DATA, source)
        yield from _unfit(f"{pointer}/evaluator", evaluator, None if trained_on.wrong else trained_on.value)
    if isinstance(evaluator, PredictionDepth) and evaluator.layers is not None and model is not None:
        layers = [name for name, _ in models.skeleton(model, classes=2).named_modules() if name]
        for index, layer in enumerate(evaluator.layers):
            if layer not in layers:
                message = f"{model.name} has no layer {layer!r}"
                yield Problem(f"{pointer}/evaluator/layers/{index}", "UNKNOWN_VALUE", message, _nearest(layer, layers))


def _unfit(pointer: str, evaluator: AnyEvaluator, target: data.AnyData | None) -> Iterator[Problem]:
    for field, message in evaluator.problems(target):
        yield _contradiction(f"{pointer}/{field}", message)


_DATA: TypeAdapter[Any] = TypeAdapter(data.DataSpec)
_MODEL: TypeAdapter[Any] = TypeAdapter(models.ModelSpec)
_TRAIN: TypeAdapter[Any] = TypeAdapter(TrainSettings)
_METHOD: TypeAdapter[Any] = TypeAdapter(MethodSpec)
_EVALUATOR: TypeAdapter[Any] = TypeAdapter(EvaluatorSpec)


@dataclass(frozen=True)
class _Part:
    """A part of the spec without the fields that are `wrong` by themselves (those are reported already)."""

    value: Any
    wrong: frozenset[str] = frozenset()


def _part(kind: TypeAdapter[Any], raw: object) -> _Part:
    """`raw` as `kind`, without what is wrong in it; its value is None where nothing is left to read."""
    try:
        return _Part(kind.validate_json(json.dumps(raw)))
    except ValidationError as error:
        wrong = {step for details in error.errors() for step in details["loc"] if isinstance(raw, dict) and step in raw}
    if not wrong or not isinstance(raw, dict):
        return _Part(None)
    rest = _part(kind, {key: value for key, value in raw.items() if key not in wrong})
    return _Part(rest.value, rest.wrong | {str(step) for step in wrong})


def _list(raw: object, most: int) -> list[Any]:
    """The first `most` items of a list; a longer one is refused anyway."""
    return raw[:most] if isinstance(raw, list) else []


def _repeated(pointer: str, values: list[Any], kind: type) -> Iterator[Problem]:
    seen = set()
    for index, value in enumerate(values):
        if type(value) is not kind:
            continue
        if value in seen:
            yield Problem(pointer.format(index), "DUPLICATE", f"{value!r} stands here for the second time")
        seen.add(value)


def _contradiction(pointer: str, message: str) -> Problem:
    return Problem(pointer, "CONTRADICTION", message)


# --- pydantic's errors in our words ---

_RANGES = ("greater_than", "less_than", "too_short", "too_long", "string_too_", "finite_number", "string_pattern")
_CHOICES = ("literal_error", "union_tag_invalid")
_CODES = {"duplicate": "DUPLICATE", "value_error": "CONTRADICTION"}


def _consequence(details: Any) -> bool:
    """Whether the error only says that a list is too short without its wrong items, which are reported themselves."""
    return bool(details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"])


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
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length" if kind == "too_short" else "max_length")
        message = f"holds {len(details['input'])} items; {'at least' if kind == 'too_short' else 'at most'} {limit} are wanted"
        return Problem(_pointer(path), "OUT_OF_RANGE", message)
    if kind in _CODES:
        return Problem(_pointer(path), _CODES[kind], str(context.get("error", details["msg"])))
    code = "OUT_OF_RANGE" if kind.startswith(_RANGES) else "WRONG_TYPE"
    value = details.get("input")
    shown = f", got {value!r}" if isinstance(value, str | int | float | bool) and len(str(value)) <= 100 else ""
    return Problem(_pointer(path), code, f"{details['msg'].removeprefix('Input ')}{shown}")


def _locate(location: list[str | int], raw: object) -> tuple[list[str | int], list[str]]:
    """The path of pydantic's `location` in `raw` (without union tags), and the field names known in its last object."""
    path: list[str | int] = []
    schema: dict[str, Any] = _SCHEMA
    for step in location:
        schema = _dereferenced(schema)
        mapping = schema.get("discriminator", {}).get("mapping", {})
        if step in mapping:  # a union's tag, not a place in the document
            schema = _dereferenced({"$ref": mapping[step]})
        elif isinstance(raw, dict):
            path.append(step)
            known, raw = list(schema.get("properties", {})), raw.get(step)
            schema = schema.get("properties", {}).get(step, {})
            if step == location[-1]:
                return path, known
        elif isinstance(raw, list) and isinstance(step, int):
            path.append(step)
            raw, schema = raw[step], schema.get("items", {})
    return path, []


def _dereferenced(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = _SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


_SCHEMA: dict[str, Any] = ExperimentSpec.model_json_schema()
