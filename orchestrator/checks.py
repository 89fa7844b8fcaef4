"""Reads a spec from raw JSON and reports *every* problem at once: where it is, what is wrong, and the nearest known name."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evaluators import AnyEvaluator, EvaluatorSpec, PredictionDepth, TransferEvaluator
from orchestrator.problems import InvalidSpec, Problem, nearest, problems_of
from orchestrator.spec import ExperimentSpec, Resources
from trainer.core import data, models
from trainer.methods import Method, MethodSpec
from trainer.spec import TrainSettings, method_with_recipe, with_recipe

MAX_NODES = 100_000
"""Generations that one experiment may ask for."""


def check(raw: object, refused: Mapping[str, str] | None = None) -> ExperimentSpec:
    """The resolved spec: recipe values filled in, every choice explicit. Raises InvalidSpec with all problems.

    `refused` are names of methods that may not be used, each with its reason; what was accepted once is read without.
    """
    if not isinstance(raw, dict):
        raise InvalidSpec([Problem("", "WRONG_TYPE", f"An experiment is a JSON object, got {type(raw).__name__}.")])
    raw, problems = _without_refused(raw, refused or {})
    raw = _with_recipes(raw)
    spec = None
    try:
        spec = ExperimentSpec.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        problems += problems_of(error, raw)
    problems += _contradictions(raw)
    if spec is None or problems:
        raise InvalidSpec(problems)
    return _resolved(spec)


def _without_refused(raw: dict[str, Any], refused: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """Puts ordinary training where a refused method stands: the rest is still read, and none of the method's code runs."""
    problems, arms = [], []
    for index, arm in enumerate(given := _list(raw.get("arms"), 64)):
        method = arm.get("method") if isinstance(arm, dict) else None
        name = method.get("name") if isinstance(method, dict) else None
        if isinstance(name, str) and name in refused:
            problems.append(Problem(f"/arms/{index}/method/name", "UNCHECKED_METHOD", refused[name]))
            arm = arm | {"method": {"name": "normal"}}
        arms.append(arm)
    return (raw | {"arms": arms + raw["arms"][len(given) :]} if problems else raw), problems


def _with_recipes(raw: dict[str, Any]) -> dict[str, Any]:
    train = raw.get("train", {})
    if not isinstance(train, dict):
        return raw
    raw = raw | {"train": with_recipe(train)}
    if isinstance(arms := raw.get("arms"), list):
        raw["arms"] = [
            arm | {"method": method_with_recipe(arm["method"], train.get("recipe"), raw.get("model"))}
            if isinstance(arm, dict) and isinstance(arm.get("method"), dict)
            else arm
            for arm in arms
        ]
    return raw


def _resolved(spec: ExperimentSpec) -> ExperimentSpec:
    evaluations = tuple(
        evaluation.model_copy(update={"evaluator": _resolved_evaluator(evaluation.evaluator, spec.model)})
        for evaluation in spec.evaluations
    )
    return spec.model_copy(update={"data": spec.data.resolved(), "evaluations": evaluations})


def _resolved_evaluator(evaluator: AnyEvaluator, model: models.AnyModel) -> AnyEvaluator:
    if isinstance(evaluator, PredictionDepth) and evaluator.layers is None:
        return evaluator.model_copy(update={"layers": (*model.stage_points(), "fc")})
    if isinstance(evaluator, TransferEvaluator):
        return evaluator.model_copy(update={"targets": tuple(data.named(text).resolved().text() for text in evaluator.targets)})
    return evaluator


# --- contradictions: values that are fine alone and wrong together; each is looked for where its parts can be read ---


def _contradictions(raw: dict[str, Any]) -> Iterator[Problem]:
    trained_on = _part(_DATA, raw.get("data"))
    if trained_on.value is not None and not trained_on.wrong and (missing := trained_on.value.problem()):
        yield Problem("/data", "NOT_PREPARED", missing)
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
        if isinstance(arm, dict) and isinstance(arm.get("fork"), dict):
            yield from _fork_problems(f"/arms/{index}", arm, arms, generations, method.value)
    yield from _repeated("/arms/{}/name", [arm.get("name") if isinstance(arm, dict) else None for arm in arms], str)
    workers = _part(_RESOURCES, raw.get("resources", {})).value
    if workers is not None and train.value is not None and workers.workers > train.value.batch_size:
        message = f"{workers.workers} workers cannot share batches of {train.value.batch_size}: use at most as many"
        yield _contradiction("/resources/workers", message)
    if workers is not None and workers.workers > 1 and 0 < workers.gpus < 1:
        yield _contradiction("/resources/gpus", "several workers need a whole GPU each: use at least 1, or one worker")
    seeds = _list(raw.get("seeds", [0]), 100)
    yield from _repeated("/seeds/{}", seeds, int)
    if generations is not None and (total := len(arms) * len(seeds) * generations) > MAX_NODES:
        yield _contradiction("", f"{total} generations are asked for (arms x seeds x generations); at most {MAX_NODES}")
    for index, evaluation in enumerate(_list(raw.get("evaluations"), 64)):
        if isinstance(evaluation, dict):
            yield from _evaluation_problems(f"/evaluations/{index}", evaluation, raw.get("data"), model, generations)


def _fork_problems(
    pointer: str, arm: dict[str, Any], arms: list[Any], generations: int | None, method: Method | None
) -> Iterator[Problem]:
    fork = arm["fork"]
    bases = {each["name"]: each.get("fork") for each in arms if isinstance(each, dict) and isinstance(each.get("name"), str)}
    base = fork.get("arm")
    if isinstance(base, str) and base not in bases:
        message = f"{base!r} is not an arm of this experiment"
        yield Problem(f"{pointer}/fork/arm", "UNKNOWN_VALUE", message, nearest(base, list(bases)))
    seen: list[object] = []
    while isinstance(base, str) and base not in seen:
        seen.append(base)
        following = bases.get(base)
        base = following.get("arm") if isinstance(following, dict) else None
    if arm.get("name") in seen:
        yield _contradiction(f"{pointer}/fork/arm", f"{arm['name']!r} would go on from itself ({' -> '.join(map(str, seen))})")
    generation = fork.get("generation")
    if generations is not None and type(generation) is int and generations - 1 <= generation <= 1000:
        message = f"nothing is left to train after generation {generation}: the last of {generations} is {generations - 1}"
        yield _contradiction(f"{pointer}/fork/generation", message)
    if method is not None and method.needs_own_start():
        yield _contradiction(f"{pointer}/fork", f"{method.name} with these settings must train generation 0 itself")


def _evaluation_problems(
    pointer: str,
    evaluation: dict[str, Any],
    source: object,
    model: models.AnyModel | None,
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
        seen: dict[data.AnyData, str] = {}
        for index, text in enumerate(evaluator.targets):
            at = f"{pointer}/evaluator/targets/{index}"
            try:
                target = data.named(text)
            except ValueError:
                known = data.names()
                message = f"{text!r} is not a data set; known are {', '.join(known)} (NAME@RECIPE for another recipe)"
                yield Problem(at, "UNKNOWN_VALUE", message, nearest(text, known))
                continue
            if missing := target.problem():
                yield Problem(at, "NOT_PREPARED", missing)
            elif (same := seen.setdefault(target.resolved(), text)) != text:
                yield Problem(at, "DUPLICATE", f"{text!r} is the same data as {same!r}: keep it once")
            elif trusted:
                yield from _unfit(f"{pointer}/evaluator", evaluator, target)
    elif trusted:
        trained_on = _part(_DATA, source)
        unusable = trained_on.wrong or (trained_on.value is not None and trained_on.value.problem())
        yield from _unfit(f"{pointer}/evaluator", evaluator, None if unusable else trained_on.value)
    if isinstance(evaluator, PredictionDepth) and evaluator.layers is not None and model is not None:
        layers = [name for name, _ in models.skeleton(model, classes=2).named_modules() if name]
        for index, layer in enumerate(evaluator.layers):
            if layer not in layers:
                message = f"{model.name} has no layer {layer!r}"
                yield Problem(f"{pointer}/evaluator/layers/{index}", "UNKNOWN_VALUE", message, nearest(layer, layers))


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
