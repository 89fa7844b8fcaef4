"""What a search and the rest of its spec contradict each other in; above all, every way to choose on the test images."""

from collections.abc import Iterator

from evaluators import TransferEvaluator
from orchestrator.intake.partial import PartialArm, PartialEvaluation, PartialSpec
from orchestrator.intake.rules.common import contradiction, unknown_arm
from orchestrator.problems import Problem, nearest
from orchestrator.spec import Search
from trainer.core import data

_AGAIN = "leave search.arms out, and the trials are drawn again"


def search_problems(spec: PartialSpec) -> Iterator[Problem]:
    """Problems of a search whose trials are written out, and in which nothing is wrong by itself."""
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
    for index, name in enumerate(search.arms):
        if name not in spec.by_name:
            remedy = ": leave arms out, and the trials are drawn again"
            yield unknown_arm(f"/search/arms/{index}", name, spec.by_name, remedy)
    if len(search.arms) != search.trials:
        message = f"{search.trials} trials are asked for and {len(search.arms)} listed"
        yield contradiction("/search/trials", f"{message}: leave arms out to draw them again")
    if search.keep > search.trials:
        message = f"{search.keep} cannot be kept of {search.trials} trials: keep at most as many"
        yield contradiction("/search/keep", message)
    if (workers := spec.resources.field("workers") or 1) > 1:
        message = f"a trial is trained by one worker, got {workers}: use 1, trials run beside each other"
        yield contradiction("/resources/workers", message)


def _trial_problems(search: Search, trials: dict[str, PartialArm]) -> Iterator[Problem]:
    """What a search that drew its trials would not have written."""
    if len(set(search.arms)) < len(search.arms):
        yield contradiction("/search/arms", f"a trial stands here for the second time: {_AGAIN}")
    if wrong := [name for name, trial in trials.items() if trial.method is None or trial.checkpoint is not None]:
        yield contradiction("/search/arms", f"{wrong[0]!r} is not trained, so it is no trial: {_AGAIN}")
    if wrong := [name for name, trial in trials.items() if trial.fork is not None and trial.fork.outside]:
        message = f"{wrong[0]!r} goes on from an earlier experiment, which a trial cannot: leave its fork out"
        yield contradiction("/search/arms", message)


def _length_problems(search: Search, trials: list[PartialArm], spec: PartialSpec) -> Iterator[Problem]:
    """Trials of different lengths, or too short for the first rung."""
    known = [spec.train_of(trial).field("generations") for trial in trials]
    lengths = dict.fromkeys(generations for generations in known if generations is not None)
    if len(lengths) > 1:
        listed = " and ".join(sorted(map(str, lengths)))
        yield contradiction("/search/arms", f"the trials have {listed} generations: give all as many")
    generations = next(iter(lengths), 1)
    if search.early_stop and 1 < generations <= search.early_stop.min_generations:
        message = f"no generation is left to save after {search.early_stop.min_generations}"
        message += f": the last of {generations} is {generations - 1}; use less, or early_stop null"
        yield contradiction("/search/early_stop/min_generations", message)


def _measure_problems(search: Search, spec: PartialSpec) -> Iterator[Problem]:
    whole = len(search.arms) == search.trials and all(name in spec.by_name for name in search.arms)
    if whole and not any(each is not None and _measures(each, search) for each in spec.evaluations):
        message = f"no evaluation measures it after every generation of every trial: {_AGAIN}"
        yield contradiction("/search/objective", message)


def _measures(evaluation: PartialEvaluation, search: Search) -> bool:
    """Whether the evaluation is the objective, on every generation of all trials."""
    everyone = evaluation.arms is None or set(search.arms) <= set(evaluation.arms)
    return everyone and evaluation.on == ("every",) and evaluation.evaluator.whole == search.objective.evaluator


def _split_problems(search: Search, trials: list[PartialArm], spec: PartialSpec) -> Iterator[Problem]:
    """Trials and an objective that do not hold the same images out."""
    known = {spec.data_of(trial).field("holdout") for trial in trials}
    shares = sorted(float(share) for share in known if share is not None)
    if search.objective.on == "test":
        if search.holdout:
            message = f"an objective on test holds nothing out, got {search.holdout}: leave one of them out"
            yield contradiction("/search/holdout", message)
        for share in filter(None, shares):
            message = f"the data holds {share} out in place of its test images: leave that out, or on"
            yield contradiction("/search/objective/on", message)
        return
    if not search.holdout:
        message = "without held-out images the objective would be measured on the test images"
        remedy = 'give a share, or ask for the test images by name: "on": "test"'
        yield contradiction("/search/holdout", f"{message}: {remedy}")
    elif other := [share for share in shares if share != search.holdout]:
        message = f"the search holds {search.holdout} out and the data {other[0]}: give the data none, or the same"
        yield contradiction("/search/holdout", message)
    yield from _target_problems(search)


def _target_problems(search: Search) -> Iterator[Problem]:
    evaluator = search.objective.evaluator
    for index, text in enumerate(evaluator.targets if isinstance(evaluator, TransferEvaluator) else ()):
        try:
            target = data.named(text)
        except ValueError:
            continue  # reported of the evaluation that the objective is
        if not target.holdout:
            remedy = (
                f'write "{text}%{search.holdout!r}" to hold training images out, or ask for it by name: "on": "test"'
            )
            message = f"{text!r} would be judged on its test images: {remedy}"
            yield contradiction(f"/search/objective/evaluator/targets/{index}", message)


def _score_problems(search: Search) -> Iterator[Problem]:
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
        message = f"of {objective.metric} the {'lower' if better == 'min' else 'higher'} is better: use mode {better}"
        yield contradiction("/search/objective/mode", message)
