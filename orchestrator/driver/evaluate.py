"""The evaluation stage of an attempt, on Ray Tune."""

from functools import partial
from typing import Any

from orchestrator.cluster.tune import run_jobs
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.committer import made_by
from orchestrator.driver.payloads import job_of
from orchestrator.states import Reason


def evaluate(attempt: Attempt) -> None:
    """Runs every evaluation that is not done, and waits for those that another experiment runs."""
    ledger = attempt.ledger
    over = ledger.done | ledger.given_up
    waiting = {key: node for key, node in attempt.plan.nodes.items() if node.kind == "evaluation" and key not in over}
    ledger.skip([key for key, node in waiting.items() if node.parent in ledger.failed])
    waiting = {key: node for key, node in waiting.items() if node.parent not in ledger.failed}
    round_ = 0
    while waiting and not attempt.stopping.is_set():
        jobs = [job_of(attempt, node) for key, node in waiting.items() if ledger.claim(key)]
        if jobs:
            round_ += 1
            run_jobs(
                f"{attempt.name}-evaluate{round_}",
                jobs,
                attempt.spec.resources,
                attempt.folders,
                on_result=partial(store_record, attempt),
                on_error=lambda key, why: ledger.fail([key], Reason.USER_ERROR, why),
                features_gib=attempt.settings.features_gib,
            )
        else:
            attempt.stopping.wait(1.0)  # another experiment runs all that are left
            ledger.refresh()
        waiting = {key: node for key, node in waiting.items() if key not in ledger.done and key not in ledger.failed}


def store_record(attempt: Attempt, key: str, record: dict[str, Any]) -> None:
    """Stores the record of the evaluation `key` (evaluators.evaluate)."""
    node = attempt.plan.nodes[key]
    assert node.evaluator is not None
    labels = made_by(attempt.experiment, node), node.evaluator["name"], node.target_label
    content = record["scores"], record["curves"], record["details"]
    attempt.ledger.finish(key, lambda claim: attempt.store.finish_evaluation(claim, *labels, *content))
