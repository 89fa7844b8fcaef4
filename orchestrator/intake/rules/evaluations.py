"""Which arms and generations an evaluation is on, and whether its evaluator can evaluate them."""

from collections.abc import Collection, Iterator

from evaluators import Evaluator, TransferEvaluator
from orchestrator.intake.partial import Part, PartialEvaluation, PartialSpec
from orchestrator.intake.rules.common import NOT_PREPARED, contradiction, repeated, unknown_arm
from orchestrator.intake.rules.generations import lacking
from orchestrator.problems import Problem, nearest
from trainer.core import data


def evaluation_problems(spec: PartialSpec, spans: dict[str, range]) -> Iterator[Problem]:
    """Problems of each evaluation's arms, generations and evaluator; `spans` are the generations of each arm by name."""
    for index, evaluation in enumerate(spec.evaluations):
        if evaluation is not None:
            yield from _name_problems(f"/evaluations/{index}/arms", evaluation, spans)
            yield from _moment_problems(f"/evaluations/{index}/on", evaluation, spans)
            yield from _evaluator_problems(f"/evaluations/{index}/evaluator", evaluation, spec)


def _evaluated(evaluation: PartialEvaluation, arms: Collection[str]) -> list[str]:
    """The names among `arms` that it means, in its own order."""
    if evaluation.arms is None:
        return list(arms)
    return [name for name in evaluation.arms if name is not None and name in arms]


def _name_problems(pointer: str, evaluation: PartialEvaluation, spans: dict[str, range]) -> Iterator[Problem]:
    names = evaluation.arms or ()
    for index, name in enumerate(names):
        if name is not None and name not in spans:
            yield unknown_arm(f"{pointer}/{index}", name, spans)
    yield from repeated(f"{pointer}/{{}}", names)


def _moment_problems(pointer: str, evaluation: PartialEvaluation, spans: dict[str, range]) -> Iterator[Problem]:
    chosen = _evaluated(evaluation, spans)
    for index, moment in enumerate(evaluation.on):
        if isinstance(moment, int):
            without = next((name for name in chosen if moment not in spans[name]), None)
            if without is not None:
                yield contradiction(f"{pointer}/{index}", lacking(moment, without, spans[without]))


def _evaluator_problems(pointer: str, evaluation: PartialEvaluation, spec: PartialSpec) -> Iterator[Problem]:
    evaluator = evaluation.evaluator.value
    if evaluator is None:
        return
    arms = [spec.by_name[name] for name in _evaluated(evaluation, spec.by_name)]
    everything = evaluation.arms is None and not arms
    trusted = not evaluation.evaluator.wrong & set(type(evaluator).model_fields)  # else its defaults would be checked
    if isinstance(evaluator, TransferEvaluator):
        yield from _target_problems(pointer, evaluator, trusted)
    elif trusted:
        sources = [spec.data] if everything else [spec.data_of(arm) for arm in arms]
        found = (_unfit(pointer, evaluator, _usable(source)) for source in dict.fromkeys(sources))
        yield from dict.fromkeys(problem for problems in found for problem in problems)
    networks = [spec.model] if everything else [spec.model_of(arm) for arm in arms]
    for model in dict.fromkeys(network.value for network in networks if network.value is not None):
        for field, message, suggestion in evaluator.model_problems(model):
            if field.split("/")[0] not in evaluation.evaluator.wrong:
                yield Problem(f"{pointer}/{field}", "UNKNOWN_VALUE", message, suggestion)


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


def _usable(source: Part[data.AnyData]) -> data.AnyData | None:
    """The data, if it is right and on this machine."""
    return None if source.whole is None or source.whole.problem() else source.whole


def _unfit(pointer: str, evaluator: Evaluator, target: data.AnyData | None) -> Iterator[Problem]:
    for field, message in evaluator.problems(target):
        yield contradiction(f"{pointer}/{field}", message)
