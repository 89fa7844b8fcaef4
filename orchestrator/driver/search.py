"""The search of an attempt: its trials, from rung to rung."""

from functools import partial

from orchestrator.cluster.payloads import RungPayload
from orchestrator.cluster.search import Callbacks, run_schedule
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.evaluate import store_record
from orchestrator.driver.payloads import job_of, task_of
from orchestrator.driver.reports import WorkerReports
from orchestrator.plan import Segment
from orchestrator.plan.rungs import RungSchedule, RungSegment
from orchestrator.plan.search import Trials
from orchestrator.states import Reason


def search(attempt: Attempt, trials: Trials) -> None:
    """Trains and evaluates the trials of a search as far as they are worth it; what they share is trained already."""
    if attempt.stopping.is_set():
        return
    schedule = RungSchedule(trials, attempt.ledger, partial(_objectives, attempt, trials))
    if not schedule.over:
        callbacks = Callbacks(
            payload=partial(_payload, attempt),
            report=WorkerReports(attempt).take,
            evaluated=partial(store_record, attempt),
            failed=attempt.ledger.fail_first,
            stopping=attempt.stopping.is_set,
        )
        run_schedule(
            f"{attempt.name}-search",
            schedule,
            callbacks,
            attempt.spec.resources,
            attempt.folders,
            attempt.settings.features_gib,
        )
    attempt.ledger.give_up(trials.unwanted(attempt.plan, _objectives(attempt, trials)))


def excused(attempt: Attempt, trials: Trials) -> set[str]:
    """The failed nodes of trials that are an answer of the search and not the experiment's failure."""
    objectives = _objectives(attempt, trials)  # may fail some more
    return trials.excused(attempt.plan, attempt.ledger.failed, objectives)


def _objectives(attempt: Attempt, trials: Trials) -> dict[str, float | None]:
    """The scores that the search goes by; an evaluation that has no such score fails."""
    metric = trials.search.objective.metric
    found = attempt.store.scores_of(attempt.experiment, metric)
    if without := (trials.objective_keys & attempt.ledger.done) - found.keys():
        message = f"objective.metric {metric!r} is no score of its evaluator: the results list them"
        attempt.ledger.fail(without, Reason.USER_ERROR, message)
    return found


def _payload(attempt: Attempt, segment: RungSegment) -> RungPayload:
    task = task_of(attempt, Segment(segment.train)) if segment.train else None
    trained = {node.key: attempt.folders.checkpoint(node.key) for node in segment.train}
    return RungPayload(task, [job_of(attempt, node, trained.get(str(node.parent))) for node in segment.evaluate])
