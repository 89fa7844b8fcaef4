"""Rules for a search, which above all prevent an unintended selection on the test images."""

from collections.abc import Iterator

from evaluators import TransferEvaluator
from orchestrator.intake.partial import PartialArm, PartialEvaluation, PartialSpec
from orchestrator.intake.rules.common import contradiction, unknown_arm
from orchestrator.problems import Problem, nearest
from orchestrator.spec import Search
from trainer.core import data

_REMEDY = "leave search.arms out to draw the trials again"


def search_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Yields the problems of a search that is valid by itself and whose trials are written out."""
    search = spec.search.whole if spec.search is not None else None
    if search is None or not search.arms:
        return
    trials = {name: spec.by_name[name] for name in search.arms if name in spec.by_name}
    yield from _count_problems(search, spec)
    yield from _trial_problems(search, trials)
    yield from _length_problems(search, list(trials.values()), spec)
    yield from _measure_problems(search, spec)
    yield from _split_problems(search, list(trials.values()), spec)
    yield from _score_problems(search)


def _count_problems(search: Search, spec: PartialSpec) -> Iterator[Problem]:
    """Yields problems of the numbers of trials, of kept trials and of workers, and of unknown trials."""
    for index, name in enumerate(search.arms):
        if name not in spec.by_name:
            yield unknown_arm(f"/search/arms/{index}", name, spec.by_name, f": {_REMEDY}")
    if len(search.arms) != search.trials:
        message = f"{search.trials} trials are requested and {len(search.arms)} are listed"
        yield contradiction("/search/trials", f"{message}: {_REMEDY}")
    if search.keep > search.trials:
        message = f"{search.keep} of {search.trials} trials cannot be kept: keep at most {search.trials}"
        yield contradiction("/search/keep", message)
    if (workers := spec.resources.field("workers") or 1) > 1:
        message = f"a trial is trained by one worker, got {workers}: use 1; trials run in parallel"
        yield contradiction("/resources/workers", message)


def _trial_problems(search: Search, trials: dict[str, PartialArm]) -> Iterator[Problem]:
    """Yields problems of trials that this program would not have drawn."""
    if len(set(search.arms)) < len(search.arms):
        twice = next(name for index, name in enumerate(search.arms) if name in search.arms[:index])
        yield contradiction("/search/arms", f"the trial {twice!r} is listed more than once: {_REMEDY}")
    if wrong := [name for name, trial in trials.items() if trial.method is None or trial.checkpoint is not None]:
        message = f"{wrong[0]!r} is a checkpoint or has no method, so it cannot be a trial: {_REMEDY}"
        yield contradiction("/search/arms", message)
    if wrong := [name for name, trial in trials.items() if trial.fork is not None and trial.fork.outside]:
        message = f"{wrong[0]!r} forks from an earlier experiment, which a trial cannot do: leave its fork out"
        yield contradiction("/search/arms", message)


def _length_problems(search: Search, trials: list[PartialArm], spec: PartialSpec) -> Iterator[Problem]:
    """Yields problems of trials with different numbers of generations, or too few for the first rung."""
    known = [spec.train_of(trial).field("generations") for trial in trials]
    lengths = dict.fromkeys(generations for generations in known if generations is not None)
    if len(lengths) > 1:
        listed = " and ".join(sorted(map(str, lengths)))
        yield contradiction("/search/arms", f"the trials have {listed} generations: give all trials the same number")
    generations = next(iter(lengths), 1)
    if search.early_stop and 1 < generations <= search.early_stop.min_generations:
        message = f"early stopping cannot save any generation after {search.early_stop.min_generations}"
        message += f": the last of {generations} is {generations - 1}; use a smaller value, or set early_stop to null"
        yield contradiction("/search/early_stop/min_generations", message)


def _measure_problems(search: Search, spec: PartialSpec) -> Iterator[Problem]:
    """Yields a problem if no evaluation measures the objective."""
    whole = len(search.arms) == search.trials and all(name in spec.by_name for name in search.arms)
    if whole and not any(each is not None and _measures(each, search) for each in spec.evaluations):
        message = f"no evaluation measures the objective after every generation of every trial: {_REMEDY}"
        yield contradiction("/search/objective", message)


def _measures(evaluation: PartialEvaluation, search: Search) -> bool:
    """Returns whether the evaluation measures the objective after every generation of all trials."""
    everyone = evaluation.arms is None or set(search.arms) <= set(evaluation.arms)
    return everyone and evaluation.on == ("every",) and evaluation.evaluator.whole == search.objective.evaluator


def _split_problems(search: Search, trials: list[PartialArm], spec: PartialSpec) -> Iterator[Problem]:
    """Yields problems if the trials and the objective do not hold out the same images."""
    known = {spec.data_of(trial).field("holdout") for trial in trials}
    shares = sorted(float(share) for share in known if share is not None)
    if search.objective.on == "test":
        if search.holdout:
            message = (
                f"an objective on the test images needs no holdout, got {search.holdout}: leave out holdout, or on"
            )
            yield contradiction("/search/holdout", message)
        for share in filter(None, shares):
            message = (
                f"the data holds out {share}, which replaces its test images: leave out the holdout of the data, or on"
            )
            yield contradiction("/search/objective/on", message)
        return
    if not search.holdout:
        message = "without held-out images the objective would be measured on the test images"
        remedy = 'give a share, or ask for the test images by name: "on": "test"'
        yield contradiction("/search/holdout", f"{message}: {remedy}")
    elif other := [share for share in shares if share != search.holdout]:
        message = (
            f"the search holds out {search.holdout} and the data {other[0]}: give the data no holdout, or the same one"
        )
        yield contradiction("/search/holdout", message)
    yield from _target_problems(search)


def _target_problems(search: Search) -> Iterator[Problem]:
    """Yields the targets of the objective that are evaluated on test images."""
    evaluator = search.objective.evaluator
    for index, text in enumerate(evaluator.targets if isinstance(evaluator, TransferEvaluator) else ()):
        try:
            target = data.named(text)
        except ValueError:
            continue  # reported as a problem of the objective's evaluation
        if not target.holdout:
            remedy = (
                f'write "{text}%{search.holdout!r}" to hold training images out, or ask for it by name: "on": "test"'
            )
            message = f"{text!r} would be evaluated on its test images: {remedy}"
            yield contradiction(f"/search/objective/evaluator/targets/{index}", message)


def _score_problems(search: Search) -> Iterator[Problem]:
    """Yields problems if the objective is not one known number with the right direction."""
    objective, evaluator = search.objective, search.objective.evaluator
    if isinstance(evaluator, TransferEvaluator) and len(evaluator.targets) > 1:
        message = "an objective is one number: name one target"
        yield contradiction("/search/objective/evaluator/targets", message)
    scores = evaluator.score_names()
    if scores and objective.metric not in scores:
        message = f"{objective.metric!r} is not a score of {evaluator.name}; it has {', '.join(scores)}"
        yield Problem("/search/objective/metric", "UNKNOWN_VALUE", message, nearest(objective.metric, scores))
    better = {"higher": "max", "lower": "min"}.get(evaluator.about(objective.metric).better or "")
    if better not in (None, objective.mode):
        message = f"a {'lower' if better == 'min' else 'higher'} {objective.metric} is better: use mode {better}"
        yield contradiction("/search/objective/mode", message)
