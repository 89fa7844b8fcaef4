"""The search of an attempt: its trials, leg by leg."""

from functools import partial

from orchestrator.cluster import board
from orchestrator.cluster import search as ray_search
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.evaluate import evaluated, job_of
from orchestrator.driver.train import receive, task_of
from orchestrator.plan import Segment
from orchestrator.plan.legs import Leg, Legs
from orchestrator.plan.search import Trials
from orchestrator.states import Reason


def search(attempt: Attempt, trials: Trials) -> None:
    """Trains and judges the trials of a search as far as they are worth it; what they have in common is there already."""
    if attempt.stopping.is_set():
        return
    legs = Legs(
        trials, attempt.done, attempt.failed, partial(objectives, attempt, trials), attempt.claim, attempt.put_back
    )
    if not legs.over:
        calls = ray_search.Calls(
            work=partial(_work, attempt),
            receive=partial(receive, attempt),
            judged=partial(evaluated, attempt),
            failed=attempt.fail_first,
            stopping=attempt.stopping.is_set,
        )
        settings = attempt.settings
        ray_search.search(
            f"{attempt.name}-search", legs, calls, attempt.spec.resources, settings.storage, settings.features_gib
        )
    attempt.given_up = trials.unwanted(attempt.plan, objectives(attempt, trials)) - attempt.done - attempt.failed.keys()


def objectives(attempt: Attempt, trials: Trials) -> dict[str, float | None]:
    """The scores that the search goes by; an evaluation that has no such score fails."""
    metric = trials.search.objective.metric
    found = attempt.store.scores_of(attempt.experiment, metric)
    if without := (trials.objective_keys & attempt.done) - found.keys():
        attempt.fail(
            without,
            Reason.USER_ERROR,
            f"objective.metric {metric!r} is no score of its evaluator: the results list them",
        )
    return found


def _work(attempt: Attempt, leg: Leg) -> ray_search.Work:
    task = task_of(attempt, Segment(leg.train)) if leg.train else None
    trained = {node.key: board.checkpoint_folder(attempt.settings.storage, node.key) for node in leg.train}
    return ray_search.Work(task, [job_of(attempt, node, trained.get(str(node.parent))) for node in leg.judge])
