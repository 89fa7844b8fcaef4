"""Validates an expanded spec: reads it from raw JSON, applies all rules, and reports every problem at once."""

from collections.abc import Mapping
from typing import Any

from evaluators import AnyEvaluator, TransferEvaluator
from orchestrator.intake import rules
from orchestrator.intake.rules.common import NOT_PREPARED
from orchestrator.intake.salvage import salvage
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.spec import MAX_ARMS, ExperimentSpec
from trainer.core import data
from trainer.spec import method_with_recipe, with_recipe


def check(
    raw: object, refused: Mapping[str, str] | None = None, missing: list[Problem] | None = None
) -> ExperimentSpec:
    """Returns the resolved spec, with the values of recipes filled in. Raises InvalidSpec with all problems.

    `refused` maps the names of methods that may not be used to the reasons; a spec that was accepted before is read
    without it. Data that is not prepared is refused as well, unless `missing` is given: the problems of such data are
    then appended to that list, because a plan does not read images.
    """
    if not isinstance(raw, dict):
        raise InvalidSpec([Problem("", "WRONG_TYPE", f"An experiment is a JSON object, got {type(raw).__name__}.")])
    raw, problems = _without_refused(raw, refused or {})
    spec, partial, errors = salvage(_with_recipes(raw))
    problems += [*errors, *rules.problems(partial)]
    if missing is not None:
        missing += (problem for problem in problems if problem.code == NOT_PREPARED)
        problems = [problem for problem in problems if problem.code != NOT_PREPARED]
    if spec is None or problems:
        raise InvalidSpec(problems)
    return _resolved(spec)


def _without_refused(raw: dict[str, Any], refused: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """Replaces each refused method with `normal`, and returns one problem for each.

    The rest of the spec is still checked, and none of the code of a refused method runs.
    """
    problems, arms = list[Problem](), []
    given = raw["arms"][:MAX_ARMS] if isinstance(raw.get("arms"), list) else []
    for index, arm in enumerate(given):
        method = arm.get("method") if isinstance(arm, dict) else None
        name = method.get("name") if isinstance(method, dict) else None
        if isinstance(name, str) and name in refused:
            problems.append(Problem(f"/arms/{index}/method/name", "UNCHECKED_METHOD", refused[name]))
            arm = arm | {"method": {"name": "normal"}}
        arms.append(arm)
    return (raw | {"arms": arms + raw["arms"][len(given) :]} if problems else raw), problems


def _with_recipes(raw: dict[str, Any]) -> dict[str, Any]:
    """Fills in the values of recipes that are not given. An arm's own training settings extend the experiment's."""
    train = raw.get("train", {})
    if not isinstance(train, dict):
        return raw
    if isinstance(arms := raw.get("arms"), list):
        raw = raw | {
            "arms": [_arm_with_recipe(arm, train, raw.get("model")) if isinstance(arm, dict) else arm for arm in arms]
        }
    return raw | {"train": with_recipe(train)}


def _arm_with_recipe(arm: dict[str, Any], train: dict[str, Any], model: object) -> dict[str, Any]:
    """Fills in the values of the recipe in the training settings and method of an arm."""
    if isinstance(own := arm.get("train"), dict):
        train = train | own
        arm = arm | {"train": with_recipe(train)}
    if isinstance(method := arm.get("method"), dict):
        arm = arm | {"method": method_with_recipe(method, train.get("recipe"), arm.get("model") or model)}
    return arm


def _resolved(spec: ExperimentSpec) -> ExperimentSpec:
    """Returns the spec with all data and evaluation targets resolved."""
    evaluations = tuple(
        evaluation.model_copy(update={"evaluator": _resolved_evaluator(evaluation.evaluator)})
        for evaluation in spec.evaluations
    )
    arms = tuple(
        arm if arm.data is None else arm.model_copy(update={"data": _resolved_data(arm.data)}) for arm in spec.arms
    )
    search = spec.search
    if search is not None:
        evaluator = _resolved_evaluator(search.objective.evaluator)
        search = search.model_copy(update={"objective": search.objective.model_copy(update={"evaluator": evaluator})})
    parts = {"data": _resolved_data(spec.data), "arms": arms, "evaluations": evaluations, "search": search}
    return spec.model_copy(update=parts)


def _resolved_data(spec: data.AnyData) -> data.AnyData:
    """Returns the data with its digest. Data that is not prepared, which only a plan accepts, is returned unchanged."""
    return spec if spec.problem() else spec.resolved()


def _resolved_evaluator(evaluator: AnyEvaluator) -> AnyEvaluator:
    """Returns the evaluator with its targets resolved, if it has targets."""
    if isinstance(evaluator, TransferEvaluator):
        targets = tuple(_resolved_data(data.named(text)).text() for text in evaluator.targets)
        return evaluator.model_copy(update={"targets": targets})
    return evaluator
