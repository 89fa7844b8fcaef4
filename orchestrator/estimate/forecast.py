"""The answer to POST /experiments/plan: what an experiment would train, share, need and cost. Nothing is stored."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from orchestrator import plan as planning
from orchestrator.estimate import advice, history, timing_runs
from orchestrator.estimate.advice import Advice
from orchestrator.estimate.disk import Storage
from orchestrator.estimate.epochs import epoch_totals, separate_generations
from orchestrator.estimate.hours import ClusterCapacity, Rates, count_units, estimate_hours
from orchestrator.estimate.savings import find_savings
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.estimate.workload import Workload
from orchestrator.plan import Kind, Plan
from orchestrator.plan.capacity import worker_capacity
from orchestrator.plan.missing import trained_again
from orchestrator.problems import Problem
from orchestrator.spec import ExperimentSpec, Resources
from orchestrator.store import Store

KINDS: tuple[Kind, ...] = ("generation", "checkpoint", "evaluation")


class Cluster(Protocol):
    """The cluster that would train an experiment; `orchestrator.cluster.timing.RayCluster` is one."""

    def nodes(self) -> list[dict[str, float]] | None:
        """Returns the `CPU` and `GPU` of each node, or None if the cluster does not answer."""

    def time(self, asked: list[TimingRequest], resources: Resources) -> str | None:
        """Runs a timing run that stores its results in the database. Returns why it is not complete, or None."""


def forecast(
    spec: ExperimentSpec,
    missing: Collection[Problem],
    store: Store,
    cluster: Cluster,
    free_bytes: int | None = None,
    *,
    measure: bool = False,
) -> dict[str, Any]:
    """Returns the API's answer for a resolved spec.

    `missing` has a problem for each data set that is not prepared. `free_bytes` is the free space of the storage. If
    `measure` is set, a timing run is made for the kinds of steps that have no history here.
    """
    plan, workload = planning.plan(spec), Workload(spec)
    standings = store.standings(list(plan.nodes))
    done = {key for key, each in standings.items() if each.done}
    kept = {key for key, each in standings.items() if each.kept}
    cached = done - trained_again({node.key: node.parent for node in plan.nodes.values()}, done, kept)
    in_flight = {key for key, each in standings.items() if each.waiting and key not in cached}
    todo = {key: None for key in plan.nodes if key not in cached and key not in in_flight}
    nodes = cluster.nodes()
    warnings = [
        *advice.missing_data_advice(missing),
        *advice.spec_advice(spec),
        *advice.cluster_advice(spec, nodes),
    ]
    workers = None if nodes is None else worker_capacity(nodes, spec.resources)
    capacity = None if workers is None else ClusterCapacity(workers // spec.resources.workers, workers)
    rates, not_timed = _rates(spec, store, cluster, plan, workload, todo, measure=measure)
    warnings += not_timed
    states: dict[str, Collection[str]] = {"cached": cached, "in_flight": in_flight, "to_do": todo}
    answer = {
        "name": spec.name,
        "preset": spec.preset,
        "nodes": {
            kind: plan.counts(kind) | {state: _count(plan, keys, kind) for state, keys in states.items()}
            for kind in KINDS
        },
        "epochs": epoch_totals(spec, plan) | {state: _epochs(plan, workload, keys) for state, keys in states.items()},
        "steps": _steps(spec, plan, workload, states),
        "evaluations": _evaluations(plan, states),
        "sharing": find_savings(spec, plan, workload, standings, cached, in_flight),
        "storage": Storage(spec, workload).answer(plan, todo, _slots_in_use(plan, todo, capacity)),
        "quote": estimate_hours(plan, workload, todo, rates, spec.resources, capacity),
    }
    warnings += advice.answer_advice(answer, free_bytes)
    return answer | {"warnings": [warning.as_json() for warning in warnings]}


def _rates(
    spec: ExperimentSpec,
    store: Store,
    cluster: Cluster,
    plan: Plan,
    workload: Workload,
    todo: Collection[str],
    *,
    measure: bool,
) -> tuple[Rates, list[Advice]]:
    """Returns the known rates of the work in `todo`, and warnings about steps that could not be timed.

    Rates of finished work take precedence over those of timing runs.
    """
    steps, evaluations = count_units(plan, workload, todo)
    known = history.step_rates(store, steps)
    requests = {
        kind: request
        for kind, request in timing_runs.timing_requests(plan, workload, todo).items()
        if kind not in known
    }
    warnings = []
    if measure and requests:
        timed = timing_runs.timed_rates(store, requests, plan, workload)
        largest = sorted(requests, key=lambda kind: (kind in timed, -steps[kind]))[: timing_runs.MAX_KINDS]
        why = cluster.time(list({requests[kind].key: requests[kind] for kind in largest}.values()), spec.resources)
        if why is not None:
            warnings.append(Advice("NOT_TIMED", "", f"the timing run is not complete: {why}"))
        if len(requests) > len(largest):
            message = (
                f"{len(requests) - len(largest)} kinds of steps are left out: a timing run covers the "
                f"{timing_runs.MAX_KINDS} kinds with the most steps; repeat the request to time the others"
            )
            warnings.append(Advice("NOT_TIMED", "", message))
    known = timing_runs.timed_rates(store, requests, plan, workload) | known
    return Rates(known, history.evaluation_rates(store, evaluations)), warnings


def _count(plan: Plan, keys: Iterable[str], kind: Kind) -> int:
    return sum(plan.nodes[key].kind == kind for key in keys)


def _generations(plan: Plan, workload: Workload, keys: Iterable[str]) -> Counter[str]:
    """Counts the generations among `keys` by arm, without those that an arm only evaluates and does not train."""
    nodes = (plan.nodes[key] for key in keys)
    return Counter(
        node.arm for node in nodes if node.kind == "generation" and workload.arm(node.arm).method is not None
    )


def _epochs(plan: Plan, workload: Workload, keys: Iterable[str]) -> int:
    return sum(count * workload.epochs(arm) for arm, count in _generations(plan, workload, keys).items())


def _steps(
    spec: ExperimentSpec, plan: Plan, workload: Workload, states: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    """Returns the optimizer steps under the same names as the epochs.

    `partial` is true if the size of an arm's training set is unknown; its steps are then not counted.
    """
    counts = {"separate": separate_generations(spec, plan), "shared": _generations(plan, workload, plan.nodes)}
    counts |= {state: _generations(plan, workload, keys) for state, keys in states.items()}
    found: dict[str, Any] = {
        name: sum(count * (workload.steps(arm) or 0) for arm, count in arms.items()) for name, arms in counts.items()
    }
    return found | {"partial": any(workload.steps(arm) is None for arms in counts.values() for arm in arms)}


def _evaluations(plan: Plan, states: Mapping[str, Collection[str]]) -> dict[str, dict[str, int]]:
    """Returns, by evaluator, how many evaluations are requested, how many of them differ, and their states."""
    names = {key: str(node.evaluator["name"]) for key, node in plan.nodes.items() if node.evaluator is not None}
    requested = Counter(names[use.key] for use in plan.uses if use.kind == "evaluation")
    unique = Counter(names.values())
    by_state = {state: Counter(names[key] for key in keys if key in names) for state, keys in states.items()}
    return {
        name: {"requested": count, "unique": unique[name]} | {state: each[name] for state, each in by_state.items()}
        for name, count in requested.items()
    }


def _slots_in_use(plan: Plan, todo: Collection[str], capacity: ClusterCapacity | None) -> int:
    """Returns the number of generations that are trained at the same time, at most.

    It is the number of segments that no other segment continues, or the cluster's training slots if these are fewer.
    """
    segments = planning.segments(plan, todo)
    continued = {segment.parent for segment in segments}
    leaves = sum(segment.key not in continued for segment in segments)
    return leaves if capacity is None else min(leaves, capacity.training_slots)
