"""Rules for evaluations: their arms and generations must exist, and the evaluator must fit the data and network."""

from collections.abc import Collection, Iterable, Iterator

from evaluators import Evaluator, TransferEvaluator
from orchestrator.intake.partial import Part, PartialEvaluation, PartialSpec
from orchestrator.intake.rules.common import NOT_PREPARED, contradiction, repeated, unknown_arm
from orchestrator.intake.rules.generations import lacking
from orchestrator.problems import Problem, nearest
from trainer.core import data
from trainer.core.models import AnyModel


def evaluation_problems(spec: PartialSpec, generations: dict[str, range]) -> Iterator[Problem]:
    """Yields the problems of each evaluation's arms, generations and evaluator.

    `generations` maps the name of each arm to its generations.
    """
    for index, evaluation in enumerate(spec.evaluations):
        if evaluation is not None:
            yield from _name_problems(f"/evaluations/{index}/arms", evaluation, generations)
            yield from _generation_problems(f"/evaluations/{index}/on", evaluation, generations)
            yield from _evaluator_problems(f"/evaluations/{index}/evaluator", evaluation, spec)


def _evaluated(evaluation: PartialEvaluation, arms: Collection[str]) -> list[str]:
    """Returns the names among `arms` that the evaluation is for, in the order of the evaluation."""
    if evaluation.arms is None:
        return list(arms)
    return [name for name in evaluation.arms if name is not None and name in arms]


def _name_problems(pointer: str, evaluation: PartialEvaluation, generations: dict[str, range]) -> Iterator[Problem]:
    """Yields the names that are not arms of the experiment, and repeated names."""
    names = evaluation.arms or ()
    for index, name in enumerate(names):
        if name is not None and name not in generations:
            yield unknown_arm(f"{pointer}/{index}", name, generations)
    yield from repeated(f"{pointer}/{{}}", names)


def _generation_problems(
    pointer: str, evaluation: PartialEvaluation, generations: dict[str, range]
) -> Iterator[Problem]:
    """Yields the generations that one of the evaluated arms does not have."""
    chosen = _evaluated(evaluation, generations)
    for index, generation in enumerate(evaluation.on):
        if isinstance(generation, int):
            without = next((name for name in chosen if generation not in generations[name]), None)
            if without is not None:
                yield contradiction(f"{pointer}/{index}", lacking(generation, without, generations[without]))


def _evaluator_problems(pointer: str, evaluation: PartialEvaluation, spec: PartialSpec) -> Iterator[Problem]:
    """Yields the settings of the evaluator that do not fit its data or networks."""
    evaluator = evaluation.evaluator.value
    if evaluator is None:
        return
    arms = [spec.by_name[name] for name in _evaluated(evaluation, spec.by_name)]
    everything = evaluation.arms is None and not arms
    trusted = not evaluation.evaluator.wrong & set(
        type(evaluator).model_fields
    )  # otherwise its defaults would be checked
    sources = [spec.data] if everything else [spec.data_of(arm) for arm in arms]
    if isinstance(evaluator, TransferEvaluator):
        yield from _target_problems(pointer, evaluator, trusted)
    elif trusted:
        found = (_unfit(pointer, evaluator, _usable(source)) for source in dict.fromkeys(sources))
        yield from dict.fromkeys(problem for problems in found for problem in problems)
    networks = [spec.model] if everything else [spec.model_of(arm) for arm in arms]
    if trusted:
        pairs = dict.fromkeys(zip(networks, sources, strict=True))
        yield from dict.fromkeys(_pair_problems(pointer, evaluator, pairs))
    for model in dict.fromkeys(network.value for network in networks if network.value is not None):
        for field, message, suggestion in evaluator.model_problems(model):
            if field.split("/")[0] not in evaluation.evaluator.wrong:
                yield Problem(f"{pointer}/{field}", "UNKNOWN_VALUE", message, suggestion)


def _pair_problems(
    pointer: str, evaluator: Evaluator, pairs: Iterable[tuple[Part[AnyModel], Part[data.AnyData]]]
) -> Iterator[Problem]:
    """Yields the settings that do not fit a network together with its target, for each network and its source."""
    for network, source in pairs:
        if isinstance(evaluator, TransferEvaluator):
            targets = [_named(text) for text in evaluator.targets]
        else:
            targets = [_usable(source)]
        for target in targets:
            if network.whole is not None and target is not None:
                for field, message in evaluator.unfit(network.whole, target):
                    yield contradiction(f"{pointer}/{field}", message)


def _named(text: str) -> data.AnyData | None:
    """Returns the target that `text` names if it is known and prepared on this machine, or None."""
    try:
        return _usable(Part(data.named(text)))
    except ValueError:
        return None


def _target_problems(pointer: str, evaluator: TransferEvaluator, trusted: bool) -> Iterator[Problem]:
    """Yields the targets that are unknown, not prepared, repeated, or unsuitable."""
    seen: dict[data.AnyData, str] = {}
    for index, text in enumerate(evaluator.targets):
        at = f"{pointer}/targets/{index}"
        try:
            target = data.named(text)
        except data.UnknownData:
            known = data.names()
            message = f"{text!r} is not a data set; known are {', '.join(known)} (NAME@RECIPE for another recipe)"
            yield Problem(at, "UNKNOWN_VALUE", message, nearest(text, known))
            continue
        except ValueError as error:
            yield Problem(at, "UNKNOWN_VALUE", str(error))
            continue
        if missing := target.problem():
            yield Problem(at, NOT_PREPARED, missing)
        elif (same := seen.setdefault(target.resolved(), text)) != text:
            yield Problem(at, "DUPLICATE", f"{text!r} is the same data as {same!r}: keep it once")
        elif trusted:
            yield from _unfit(pointer, evaluator, target)


def _usable(source: Part[data.AnyData]) -> data.AnyData | None:
    """Returns the data if it is valid and prepared on this machine, or None."""
    return None if source.whole is None or source.whole.problem() else source.whole


def _unfit(pointer: str, evaluator: Evaluator, target: data.AnyData | None) -> Iterator[Problem]:
    """Yields the settings of the evaluator that do not fit the data `target`."""
    for field, message in evaluator.problems(target):
        yield contradiction(f"{pointer}/{field}", message)
