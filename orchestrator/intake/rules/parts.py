"""Values of a raw spec that are fine alone and wrong together; each is looked for where its parts can be read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators import AnyEvaluator, EvaluatorSpec, TransferEvaluator
from orchestrator.intake.rules.generations import bases_of, outside, span_of
from orchestrator.intake.rules.search import search_problems
from orchestrator.intake.rules.tables import table_problems
from orchestrator.problems import Problem, nearest
from orchestrator.spec import MAX_ARMS, MAX_EVALUATIONS, Resources
from trainer.core import data, models
from trainer.methods import Method, MethodSpec
from trainer.spec import TrainSettings

MAX_NODES = 100_000
"""Generations that one experiment may ask for."""
NOT_PREPARED = "NOT_PREPARED"
"""Code of the problem that data is not on this machine."""


def contradictions(raw: dict[str, Any]) -> Iterator[Problem]:
    arms = items(raw.get("arms"), MAX_ARMS)
    yield from _data_problems("/data", raw.get("data"))
    common = _Setting(raw)
    yield from common.problems("/train")
    settings = []
    for index, arm in enumerate(arms):
        pointer = f"/arms/{index}"
        own = isinstance(arm, dict) and any(arm.get(name) is not None for name in ("data", "model", "train"))
        setting = _Setting(raw, arm) if own else common
        settings.append(setting)
        if isinstance(arm, dict):
            if arm.get("data") is not None:
                yield from _data_problems(f"{pointer}/data", arm["data"])
            if arm.get("train") is not None:
                yield from setting.problems(f"{pointer}/train")
            yield from _arm_problems(pointer, arm, arms, setting)
    yield from _repeated("/arms/{}/name", [arm.get("name") if isinstance(arm, dict) else None for arm in arms], str)
    workers = _part(_RESOURCES, raw.get("resources", {})).value
    smallest = min((each.train.batch_size for each in (common, *settings) if each.train is not None), default=None)
    if workers is not None and smallest is not None and workers.workers > smallest:
        message = f"{workers.workers} workers cannot share batches of {smallest}: use at most as many"
        yield _contradiction("/resources/workers", message)
    if workers is not None and workers.workers > 1 and 0 < workers.gpus < 1:
        yield _contradiction("/resources/gpus", "several workers need a whole GPU each: use at least 1, or one worker")
    yield from search_problems(raw)
    seeds = items(raw.get("seeds", [0]), 100)
    yield from _repeated("/seeds/{}", seeds, int)
    total = sum(setting.generations or 0 for setting in settings) * len(seeds)
    if total > MAX_NODES:
        yield _contradiction("", f"{total} generations are asked for (arms x seeds x generations); at most {MAX_NODES}")
    by_name = {
        arm["name"]: setting
        for arm, setting in zip(arms, settings, strict=True)
        if isinstance(arm, dict) and isinstance(arm.get("name"), str)
    }
    bases = bases_of(arms)
    spans = {name: span_of(name, bases, setting.generations) for name, setting in by_name.items()}
    evaluations = items(raw.get("evaluations"), MAX_EVALUATIONS)
    for index, evaluation in enumerate(evaluations):
        if isinstance(evaluation, dict):
            yield from _evaluation_problems(f"/evaluations/{index}", evaluation, by_name, spans, common)
    for index, table in enumerate(items(raw.get("tables"), 64)):
        yield from table_problems(f"/tables/{index}", table, spans, evaluations)
    yield from _repeated(
        "/tables/{}/name", [each.get("name") for each in items(raw.get("tables"), 64) if isinstance(each, dict)], str
    )


class _Setting:
    """Data, model and recipe of the experiment, or of an arm that has some of its own, as far as they can be read."""

    def __init__(self, raw: dict[str, Any], arm: dict[str, Any] | None = None) -> None:
        arm = arm or {}
        self.source = arm.get("data") or raw.get("data")
        self._model = arm.get("model") or raw.get("model", {"name": "resnet-digits"})
        part = _part(_TRAIN, arm.get("train") or raw.get("train", {}))
        self.train: TrainSettings | None = part.value
        self._wrong = part.wrong
        self.epochs = None if self.train is None or "epochs" in part.wrong else self.train.epochs
        self.generations = None if self.train is None or "generations" in part.wrong else self.train.generations

    @cached_property
    def model(self) -> models.AnyModel | None:
        found: models.AnyModel | None = _part(_MODEL, self._model).value
        return found

    @property
    def names(self) -> list[str]:
        """Of the model's parameters."""
        return [] if self.model is None else _parameter_names(self.model)

    def problems(self, pointer: str) -> Iterator[Problem]:
        if self.train is not None and not self._wrong & {"epochs", "generations", "schedule"}:
            yield from (_contradiction(f"{pointer}/{field}", message) for field, message in self.train.problems())


@cache
def _parameter_names(model: models.AnyModel) -> list[str]:
    return [name for name, _ in models.skeleton(model, classes=2).named_parameters()]


def _data_problems(pointer: str, raw: object) -> Iterator[Problem]:
    part = _part(_DATA, raw)
    if part.value is not None and not part.wrong and (missing := part.value.problem()):
        yield Problem(pointer, NOT_PREPARED, missing)


def _arm_problems(pointer: str, arm: dict[str, Any], arms: list[Any], setting: _Setting) -> Iterator[Problem]:
    given = [name for name in ("method", "checkpoint") if arm.get(name) is not None]
    if not given:
        yield Problem(
            f"{pointer}/method", "MISSING_FIELD", "method is required (or checkpoint, to judge what is there)"
        )
    if len(given) == 2:
        yield _contradiction(f"{pointer}/checkpoint", "an arm has either a method or a checkpoint: leave one out")
    method = _part(_METHOD, arm.get("method"))
    if method.value is not None and setting.names:
        for field, message in method.value.problems(setting.epochs, setting.names):
            if field not in method.wrong:
                yield _contradiction(f"{pointer}/method/{field}", message)
    if isinstance(arm.get("fork"), dict):
        yield from _fork_problems(pointer, arm, arms, setting.generations, method.value)
        if arm.get("checkpoint") is not None:
            yield _contradiction(
                f"{pointer}/fork", "a checkpoint is judged, not trained on: give the arm a method instead"
            )


def _fork_problems(
    pointer: str, arm: dict[str, Any], arms: list[Any], generations: int | None, method: Method | None
) -> Iterator[Problem]:
    fork = arm["fork"]
    generation = fork.get("generation")
    if generations is not None and type(generation) is int and generations - 1 <= generation <= 1000:
        message = (
            f"nothing is left to train after generation {generation}: the last of {generations} is {generations - 1}"
        )
        yield _contradiction(f"{pointer}/fork/generation", message)
    if method is not None and method.needs_own_start():
        yield _contradiction(f"{pointer}/fork", f"{method.name} with these settings must train generation 0 itself")
    if fork.get("experiment") is not None:
        return
    bases = bases_of(arms)
    base = fork.get("arm")
    if isinstance(base, str) and base not in bases:
        message = f"{base!r} is not an arm of this experiment"
        yield Problem(f"{pointer}/fork/arm", "UNKNOWN_VALUE", message, nearest(base, list(bases)))
    elif isinstance(base, str) and any(bases[base].get(name) != arm.get(name) for name in ("data", "model", "train")):
        message = f"{base!r} is trained with other data, model or settings: an arm goes on from one that has the same"
        yield _contradiction(f"{pointer}/fork/arm", message)
    elif isinstance(base, str) and bases[base].get("checkpoint") is not None:
        yield _contradiction(f"{pointer}/fork/arm", f"{base!r} is a checkpoint, which is judged and not trained on")
    seen: list[object] = []
    while isinstance(base, str) and base not in seen:
        seen.append(base)
        following = bases.get(base, {}).get("fork")
        base = following.get("arm") if isinstance(following, dict) and following.get("experiment") is None else None
    begun = span_of(str(fork.get("arm")), bases, None).start
    if type(generation) is int and generation < begun:
        message = f"{fork.get('arm')!r} begins with generation {begun} of an earlier experiment: go on from that or a later one"
        yield _contradiction(f"{pointer}/fork/generation", message)
    if arm.get("name") in seen:
        yield _contradiction(
            f"{pointer}/fork/arm", f"{arm['name']!r} would go on from itself ({' -> '.join(map(str, seen))})"
        )


def _evaluation_problems(
    pointer: str,
    evaluation: dict[str, Any],
    by_name: dict[str, _Setting],
    spans: dict[str, range],
    common: _Setting,
) -> Iterator[Problem]:
    judged = list(by_name)
    settings = list(by_name.values()) or [common]
    if isinstance(names := evaluation.get("arms"), list):
        for index, name in enumerate(names):
            if isinstance(name, str) and name not in by_name:
                message = f"{name!r} is not an arm of this experiment"
                yield Problem(f"{pointer}/arms/{index}", "UNKNOWN_VALUE", message, nearest(name, list(by_name)))
        yield from _repeated(f"{pointer}/arms/{{}}", names, str)
        judged = [name for name in names if isinstance(name, str) and name in by_name]
        settings = [by_name[name] for name in judged]
    settings = list({id(setting): setting for setting in settings}.values())
    for index, moment in enumerate(items(evaluation.get("on"), 100)):
        if type(moment) is int and 0 <= moment <= 1000:
            lacking = next((name for name in judged if moment not in spans[name]), None)
            if lacking is not None:
                yield _contradiction(f"{pointer}/on/{index}", outside(moment, lacking, spans[lacking]))
    part = _part(_EVALUATOR, evaluation.get("evaluator"))
    evaluator: AnyEvaluator | None = part.value
    if evaluator is None:
        return
    trusted = not part.wrong & set(type(evaluator).model_fields)  # else its own fields' defaults would be judged
    if isinstance(evaluator, TransferEvaluator):
        yield from _target_problems(f"{pointer}/evaluator", evaluator, trusted)
    elif trusted:
        found: dict[Problem, None] = {}
        for setting in settings:
            trained_on = _part(_DATA, setting.source)
            unusable = trained_on.wrong or (trained_on.value is not None and trained_on.value.problem())
            found |= dict.fromkeys(_unfit(f"{pointer}/evaluator", evaluator, None if unusable else trained_on.value))
        yield from found
    for model in {setting.model: None for setting in settings if setting.model is not None}:
        for field, message, suggestion in evaluator.model_problems(model):
            if field.split("/")[0] not in part.wrong:
                yield Problem(f"{pointer}/evaluator/{field}", "UNKNOWN_VALUE", message, suggestion)


def _target_problems(pointer: str, evaluator: TransferEvaluator, trusted: bool) -> Iterator[Problem]:
    seen: dict[data.AnyData, str] = {}
    for index, text in enumerate(evaluator.targets):
        at = f"{pointer}/targets/{index}"
        try:
            target = data.named(text)
        except ValueError:
            known = data.names()
            message = f"{text!r} is not a data set; known are {', '.join(known)} (NAME@RECIPE for another recipe)"
            yield Problem(at, "UNKNOWN_VALUE", message, nearest(text, known))
            continue
        if missing := target.problem():
            yield Problem(at, NOT_PREPARED, missing)
        elif (same := seen.setdefault(target.resolved(), text)) != text:
            yield Problem(at, "DUPLICATE", f"{text!r} is the same data as {same!r}: keep it once")
        elif trusted:
            yield from _unfit(pointer, evaluator, target)


def _unfit(pointer: str, evaluator: AnyEvaluator, target: data.AnyData | None) -> Iterator[Problem]:
    for field, message in evaluator.problems(target):
        yield _contradiction(f"{pointer}/{field}", message)


_DATA: TypeAdapter[Any] = TypeAdapter(data.DataSpec)
_MODEL: TypeAdapter[Any] = TypeAdapter(models.ModelSpec)
_TRAIN: TypeAdapter[Any] = TypeAdapter(TrainSettings)
_METHOD: TypeAdapter[Any] = TypeAdapter(MethodSpec)
_EVALUATOR: TypeAdapter[Any] = TypeAdapter(EvaluatorSpec)
_RESOURCES: TypeAdapter[Any] = TypeAdapter(Resources)


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


def items(raw: object, most: int) -> list[Any]:
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
