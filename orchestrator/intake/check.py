"""Reads a spec from raw JSON and reports *every* problem at once: where it is, what is wrong, and the nearest known name."""

from collections.abc import Mapping
from typing import Any

from evaluators import AnyEvaluator, TransferEvaluator
from orchestrator.intake.rules.arms import arm_problems
from orchestrator.intake.rules.common import NOT_PREPARED
from orchestrator.intake.rules.evaluations import evaluation_problems
from orchestrator.intake.rules.forks import fork_problems
from orchestrator.intake.rules.generations import spans
from orchestrator.intake.rules.resources import resource_problems
from orchestrator.intake.rules.search import search_problems
from orchestrator.intake.rules.tables import table_problems
from orchestrator.intake.salvage import salvage
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.spec import MAX_ARMS, ExperimentSpec
from trainer.core import data
from trainer.spec import method_with_recipe, with_recipe


def check(
    raw: object, refused: Mapping[str, str] | None = None, missing: list[Problem] | None = None
) -> ExperimentSpec:
    """The resolved spec: recipe values filled in, every choice explicit. Raises InvalidSpec with all problems.

    `refused` are names of methods that may not be used, each with its reason; what was accepted once is read without.
    Data that is not prepared is refused too, unless `missing` takes those problems: a plan needs no pixels.
    """
    if not isinstance(raw, dict):
        raise InvalidSpec([Problem("", "WRONG_TYPE", f"An experiment is a JSON object, got {type(raw).__name__}.")])
    raw, problems = _without_refused(raw, refused or {})
    spec, partial, errors = salvage(_with_recipes(raw))
    generations = spans(partial)
    problems += [
        *errors,
        *arm_problems(partial),
        *fork_problems(partial),
        *resource_problems(partial),
        *search_problems(partial),
        *evaluation_problems(partial, generations),
        *table_problems(partial, generations),
    ]
    if missing is not None:
        missing += (problem for problem in problems if problem.code == NOT_PREPARED)
        problems = [problem for problem in problems if problem.code != NOT_PREPARED]
    if spec is None or problems:
        raise InvalidSpec(problems)
    return _resolved(spec)


def _without_refused(raw: dict[str, Any], refused: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """Puts ordinary training where a refused method stands: the rest is still read, and none of the method's code runs."""
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
    """The recipe's values wherever none was given; an arm's own training settings stand on the experiment's."""
    train = raw.get("train", {})
    if not isinstance(train, dict):
        return raw
    if isinstance(arms := raw.get("arms"), list):
        raw = raw | {
            "arms": [_arm_with_recipe(arm, train, raw.get("model")) if isinstance(arm, dict) else arm for arm in arms]
        }
    return raw | {"train": with_recipe(train)}


def _arm_with_recipe(arm: dict[str, Any], train: dict[str, Any], model: object) -> dict[str, Any]:
    if isinstance(own := arm.get("train"), dict):
        train = train | own
        arm = arm | {"train": with_recipe(train)}
    if isinstance(method := arm.get("method"), dict):
        arm = arm | {"method": method_with_recipe(method, train.get("recipe"), arm.get("model") or model)}
    return arm


def _resolved(spec: ExperimentSpec) -> ExperimentSpec:
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
    """With its digest; data that is not prepared stays as it was named, which only a plan may do."""
    return spec if spec.problem() else spec.resolved()


def _resolved_evaluator(evaluator: AnyEvaluator) -> AnyEvaluator:
    if isinstance(evaluator, TransferEvaluator):
        targets = tuple(_resolved_data(data.named(text)).text() for text in evaluator.targets)
        return evaluator.model_copy(update={"targets": targets})
    return evaluator
