"""The search stage of an attempt, which trains and evaluates its trials from rung to rung."""

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
    """Trains and evaluates each trial of a search as far as it is promoted.

    The generations that several trials share are trained before this is called.
    """
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
    """Returns the keys of the failed nodes that do not fail the experiment, because they are a result of the search."""
    objectives = _objectives(attempt, trials)  # this may fail further nodes, so it comes first
    return trials.excused(attempt.plan, attempt.ledger.failed, objectives)


def _objectives(attempt: Attempt, trials: Trials) -> dict[str, float | None]:
    """Returns the objective's scores by evaluation key. An evaluation that is done without this score fails."""
    metric = trials.search.objective.metric
    found = attempt.store.scores_of(attempt.experiment, metric)
    if without := (trials.objective_keys & attempt.ledger.done) - found.keys():
        message = f"objective.metric {metric!r} is no score of its evaluator: choose one that the results list"
        attempt.ledger.fail(without, Reason.USER_ERROR, message)
    return found


def _payload(attempt: Attempt, segment: RungSegment) -> RungPayload:
    task = task_of(attempt, Segment(segment.train)) if segment.train else None
    trained = {node.key: attempt.folders.checkpoint(node.key) for node in segment.train}
    return RungPayload(task, [job_of(attempt, node, trained.get(str(node.parent))) for node in segment.evaluate])
