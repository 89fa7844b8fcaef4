"""The training stage of an attempt: its segments run on the training slots of Ray Train."""

from collections.abc import Collection

from orchestrator.checkpoints.finished import finished
from orchestrator.cluster.train import TrainingSlots, slot_capacity
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.payloads import task_of
from orchestrator.driver.reports import WorkerReports, commit_generation
from orchestrator.plan import Segment, segments
from orchestrator.states import Reason


def train(attempt: Attempt, leave_out: Collection[str]) -> None:
    """Trains every generation that is not done, and waits for those that other experiments train.

    The generations with the keys `leave_out` are neither trained nor waited for.
    """
    ledger, reports = attempt.ledger, WorkerReports(attempt)
    _fail_removed(attempt)
    _commit_finished(attempt)
    todo = {key for key, node in attempt.plan.nodes.items() if node.kind == "generation"}
    todo -= ledger.done | ledger.failed.keys() | set(leave_out)
    slots: TrainingSlots | None = None
    opened, in_flight = 0, set[str]()
    while not attempt.stopping.is_set() and (left := todo - ledger.done - ledger.failed.keys()):
        claimed = [
            segment
            for segment in segments(attempt.plan, left - in_flight)
            if (segment.parent is None or segment.parent in ledger.done)
            and ledger.claim_all([node.key for node in segment.nodes])
        ]
        if claimed and slots is None:
            count = _slot_count(attempt, segments(attempt.plan, left))
            if count == 0:
                wanted = attempt.spec.resources
                need = f"{wanted.workers} workers with {wanted.cpus} CPUs and {wanted.gpus:g} GPUs each"
                remedy = "ask for less in resources, or add nodes"
                ledger.fail(left, Reason.NO_CAPACITY, f"the Ray cluster is too small for {need}: {remedy}")
                return
            # Ray keeps the names of earlier runs, so later slots need new ones
            name = f"{attempt.name}-again{opened}" if opened else attempt.name
            slots = TrainingSlots(name, count, attempt.spec.resources, attempt.folders)
            slots.start()
            opened += 1
        in_flight |= {node.key for segment in claimed for node in segment.nodes}
        if slots is not None and in_flight & left:
            if claimed:
                slots.offer([task_of(attempt, segment) for segment in claimed])
            for message in slots.drain(timeout_s=0.5):
                reports.take(message)
            if slots.lost is not None:
                ledger.fail(todo - ledger.done - ledger.failed.keys(), Reason.WORKER_LOST, slots.lost)
        else:  # other experiments train all that is left, so they get the capacity of these slots
            if slots is not None:
                slots.close()
                slots = None
            attempt.stopping.wait(0.5)
    if slots is not None and not attempt.stopping.is_set():
        slots.close()


def _fail_removed(attempt: Attempt) -> None:
    """Fails the nodes that only an earlier experiment could produce, and whose checkpoint was removed since."""
    for key, node in attempt.plan.nodes.items():
        if node.elsewhere and key not in attempt.ledger.done:
            message = f"the checkpoint of {node.title} was removed after this experiment was posted: train it again"
            attempt.ledger.fail([key], Reason.DEPENDENCY, message)


def _commit_finished(attempt: Attempt) -> None:
    """Commits the generations that an earlier attempt trained but did not commit before it ended."""
    ledger = attempt.ledger
    for key, node in attempt.plan.nodes.items():
        if node.kind != "generation" or key in ledger.done or key in ledger.failed:
            continue
        if finished(attempt.folders, key) and ledger.claim(key):
            commit_generation(attempt, key)


def _slot_count(attempt: Attempt, chains: list[Segment]) -> int:
    """Returns how many training slots can be busy at the same time.

    That is the number of segments in `chains` that no other segment continues, limited by the cluster's capacity.
    """
    continued = {chain.parent for chain in chains}
    widest = sum(chain.key not in continued for chain in chains)
    return min(widest, slot_capacity(attempt.spec.resources))
