"""Reads raw JSON into a typed spec or, if values are invalid, into their errors and a partial spec of the others."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from evaluators import Evaluator, EvaluatorSpec
from orchestrator.intake.errors import problems_of
from orchestrator.intake.partial import Part, PartialArm, PartialEvaluation, PartialFork, PartialSpec, PartialTable
from orchestrator.problems import Problem
from orchestrator.spec import (
    MAX_ARMS,
    MAX_EVALUATIONS,
    Checkpoint,
    Committed,
    Evaluation,
    ExperimentSpec,
    ReportTable,
    Resources,
    Search,
    SpecModel,
    Weights,
)
from trainer.core import data, models
from trainer.methods import Method, MethodSpec
from trainer.spec import TrainSettings

T = TypeVar("T")


def salvage(raw: dict[str, Any]) -> tuple[ExperimentSpec | None, PartialSpec, list[Problem]]:
    """Returns the spec, the partial spec, and the errors of single values. The spec is None if there are errors."""
    try:
        spec = strictly(_SPEC, raw)
    except ValidationError as error:
        return None, _partial(raw), list(problems_of(error, raw))
    return spec, _partial(dict(iter(spec))), []


def strictly(kind: TypeAdapter[T], raw: object) -> T:
    """Validates `raw` as `kind` by pydantic's strict rules for JSON. Raises ValidationError."""
    return kind.validate_json(json.dumps(raw))


def read_part(kind: TypeAdapter[T], raw: Any) -> Part[T]:
    """`raw` as `kind` without its wrong fields; what was read already is whole."""
    if isinstance(raw, BaseModel):
        return Part(raw)  # type: ignore[arg-type]  # already validated as `kind`
    try:
        return Part(strictly(kind, raw))
    except ValidationError as error:
        if not isinstance(raw, dict):
            return Part(None)
        # a location is the tag of the union, if `kind` is a union, followed by the field
        steps = [[step for step in details["loc"] if step in raw] for details in error.errors(include_url=False)]
        wrong = {str(fields[0]) for fields in steps if fields}
    if not wrong:
        return Part(None)
    rest = read_part(kind, {name: value for name, value in raw.items() if name not in wrong})
    return Part(rest.value, rest.wrong | wrong)


def _partial(document: dict[str, Any]) -> PartialSpec:
    """Returns the partial spec of `document`, which is raw JSON or the fields of a valid spec."""
    return PartialSpec(
        data=read_part(_DATA, document.get("data")),
        model=read_part(_MODEL, document.get("model", _default(ExperimentSpec, "model"))),
        train=read_part(_TRAIN, document.get("train", _default(ExperimentSpec, "train"))),
        arms=tuple(_arm(each) for each in _items(document.get("arms"), MAX_ARMS)),
        seeds=tuple(_whole(each) for each in _items(document.get("seeds", _default(ExperimentSpec, "seeds")), 100)),
        evaluations=tuple(_evaluation(each) for each in _items(document.get("evaluations"), MAX_EVALUATIONS)),
        tables=tuple(_table(each) for each in _items(document.get("tables"), 64)),
        resources=read_part(_RESOURCES, document.get("resources", _default(ExperimentSpec, "resources"))),
        search=_given(_SEARCH, document.get("search")),
    )


def _arm(given: object) -> PartialArm | None:
    fields = _fields(given)
    if fields is None:
        return None
    return PartialArm(
        name=_text(fields.get("name")),
        method=_given(_METHOD, fields.get("method")),
        checkpoint=_given(_CHECKPOINT, fields.get("checkpoint")),
        fork=_fork(fields.get("fork")),
        data=_given(_DATA, fields.get("data")),
        model=_given(_MODEL, fields.get("model")),
        train=_given(_TRAIN, fields.get("train")),
    )


def _fork(given: object) -> PartialFork | None:
    fields = _fields(given)
    if fields is None:
        return None
    return PartialFork(
        arm=_text(fields.get("arm")),
        generation=_generation(fields.get("generation")),
        outside=fields.get("experiment") is not None,
    )


def _evaluation(given: object) -> PartialEvaluation | None:
    fields = _fields(given)
    if fields is None:
        return None
    evaluator, arms = fields.get("evaluator"), fields.get("arms")
    return PartialEvaluation(
        name=_text((_fields(evaluator) or {}).get("name")),
        evaluator=read_part(_EVALUATOR, evaluator),
        on=tuple(
            _text(each) or _generation(each) for each in _items(fields.get("on", _default(Evaluation, "on")), 100)
        ),
        arms=None if arms is None else tuple(_text(each) for each in _items(arms, MAX_ARMS)),
    )


def _table(given: object) -> PartialTable | None:
    fields = _fields(given)
    return None if fields is None else PartialTable(_text(fields.get("name")), read_part(_TABLE, given))


def _given(kind: TypeAdapter[T], raw: object) -> Part[T] | None:
    return None if raw is None else read_part(kind, raw)


def _fields(given: object) -> dict[str, Any] | None:
    if isinstance(given, BaseModel):
        return dict(iter(given))  # dict(given) would call a field that is named `keys`
    return given if isinstance(given, dict) else None


def _items(given: object, most: int) -> list[Any]:
    """Returns the first `most` items of a list. Longer lists are invalid."""
    return list(given[:most]) if isinstance(given, list | tuple) else []


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None


def _whole(given: object) -> int | None:
    return given if type(given) is int else None


def _generation(given: object) -> int | None:
    return given if type(given) is int and 0 <= given <= 1000 else None


def _default(model: type[SpecModel], field: str) -> Any:
    return model.model_fields[field].default


_SPEC: TypeAdapter[ExperimentSpec] = TypeAdapter(ExperimentSpec)
_DATA: TypeAdapter[data.AnyData] = TypeAdapter(data.DataSpec)
_MODEL: TypeAdapter[models.AnyModel] = TypeAdapter(models.ModelSpec)
_TRAIN: TypeAdapter[TrainSettings] = TypeAdapter(TrainSettings)
_METHOD: TypeAdapter[Method] = TypeAdapter(MethodSpec)
_CHECKPOINT: TypeAdapter[Committed | Weights] = TypeAdapter(Checkpoint)
_EVALUATOR: TypeAdapter[Evaluator] = TypeAdapter(EvaluatorSpec)
_RESOURCES: TypeAdapter[Resources] = TypeAdapter(Resources)
_SEARCH: TypeAdapter[Search] = TypeAdapter(Search)
_TABLE: TypeAdapter[ReportTable] = TypeAdapter(ReportTable)
