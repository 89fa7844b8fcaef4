"""The answer to POST /experiments/plan: what an experiment would do, share, need and cost. Nothing is stored."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from orchestrator import plan as planning
from orchestrator.estimate import advice, epochs, history, savings, timing_runs
from orchestrator.estimate.advice import Caution
from orchestrator.estimate.disk import Storage
from orchestrator.estimate.hours import Rates, Room, kinds, quote
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.estimate.workload import Work
from orchestrator.plan import Kind, Plan
from orchestrator.plan.capacity import worker_capacity
from orchestrator.plan.missing import trained_again
from orchestrator.problems import Problem
from orchestrator.spec import ExperimentSpec, Resources
from orchestrator.store import Store

KINDS: tuple[Kind, ...] = ("generation", "checkpoint", "evaluation")


class Cluster(Protocol):
    """Where training would run (`ray_timing.RayCluster`)."""

    def nodes(self) -> list[dict[str, float]] | None: ...
    def time(self, asked: list[TimingRequest], resources: Resources) -> str | None: ...


def forecast(
    spec: ExperimentSpec,
    missing: Collection[Problem],
    store: Store,
    cluster: Cluster,
    free_bytes: int | None = None,
    *,
    measure: bool = False,
) -> dict[str, Any]:
    """What a resolved spec would do here and now. `missing` is the data that is not prepared.

    `measure` has a timing run made for the kinds of steps that were never trained here. `free_bytes` is what the disk has left.
    """
    plan, work = planning.plan(spec), Work(spec)
    standings = store.standings(list(plan.nodes))
    done = {key for key, each in standings.items() if each.done}
    kept = {key for key, each in standings.items() if each.kept}
    cached = done - trained_again({node.key: node.parent for node in plan.nodes.values()}, done, kept)
    in_flight = {key for key, each in standings.items() if each.waiting and key not in cached}
    todo = {key: None for key in plan.nodes if key not in cached and key not in in_flight}
    nodes = cluster.nodes()
    told = [*advice.missing_data(missing), *advice.of_spec(spec), *advice.of_cluster(spec, nodes)]
    slots = None if nodes is None else worker_capacity(nodes, spec.resources)
    room = None if slots is None else Room(slots // spec.resources.workers, slots)
    rates, not_timed = _rates(spec, store, cluster, plan, work, todo, measure=measure)
    told += not_timed
    states: dict[str, Collection[str]] = {"cached": cached, "in_flight": in_flight, "to_do": todo}
    answer = {
        "name": spec.name,
        "preset": spec.preset,
        "nodes": {
            kind: plan.counts(kind) | {state: _count(plan, keys, kind) for state, keys in states.items()}
            for kind in KINDS
        },
        "epochs": epochs.epochs(spec, plan) | {state: _epochs(plan, work, keys) for state, keys in states.items()},
        "steps": _steps(spec, plan, work, states),
        "evaluations": _evaluations(plan, states),
        "sharing": savings.sharing(spec, plan, work, standings, cached, in_flight),
        "storage": Storage(spec, work).answer(plan, todo, _lanes(plan, todo, room)),
        "quote": quote(plan, work, todo, rates, spec.resources, room),
    }
    told += advice.of_answer(answer, free_bytes)
    return answer | {"warnings": [caution.as_json() for caution in told]}


def _rates(
    spec: ExperimentSpec,
    store: Store,
    cluster: Cluster,
    plan: Plan,
    work: Work,
    todo: Collection[str],
    *,
    measure: bool,
) -> tuple[Rates, list[Caution]]:
    """What is known of the speed of what is to do, and what could not be timed: finished work first, then timing runs."""
    steps, judgements = kinds(plan, work, todo)
    known = history.step_rates(store, steps)
    asked = {kind: request for kind, request in timing_runs.requests(plan, work, todo).items() if kind not in known}
    told = []
    if measure and asked:
        timed = timing_runs.timed_rates(store, asked, plan, work)
        largest = sorted(asked, key=lambda kind: (kind in timed, -steps[kind]))[: timing_runs.MOST]
        why = cluster.time(list({asked[kind].key: asked[kind] for kind in largest}.values()), spec.resources)
        if why is not None:
            told.append(Caution("NOT_TIMED", "", f"the timing run is not complete: {why}"))
        if len(asked) > len(largest):
            left = f"{len(asked) - len(largest)} kinds of steps are left out"
            told.append(
                Caution(
                    "NOT_TIMED",
                    "",
                    f"{left}: a timing run takes the {timing_runs.MOST} of which most is to do; ask again",
                )
            )
    known = timing_runs.timed_rates(store, asked, plan, work) | known
    return Rates(known, history.judgement_rates(store, judgements)), told


def _count(plan: Plan, keys: Iterable[str], kind: Kind) -> int:
    return sum(plan.nodes[key].kind == kind for key in keys)


def _generations(plan: Plan, work: Work, keys: Iterable[str]) -> Counter[str]:
    """How many generations of each arm are among `keys`; those that an arm only judges are not trained."""
    nodes = (plan.nodes[key] for key in keys)
    return Counter(node.arm for node in nodes if node.kind == "generation" and work.arm(node.arm).method is not None)


def _epochs(plan: Plan, work: Work, keys: Iterable[str]) -> int:
    return sum(count * work.epochs(arm) for arm, count in _generations(plan, work, keys).items())


def _steps(spec: ExperimentSpec, plan: Plan, work: Work, states: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Optimizer steps, as the epochs are counted; `partial` where the size of an arm's training set is not known."""
    counted = {"separate": epochs.separate(spec, plan), "shared": _generations(plan, work, plan.nodes)}
    counted |= {state: _generations(plan, work, keys) for state, keys in states.items()}
    found: dict[str, Any] = {
        name: sum(count * (work.steps(arm) or 0) for arm, count in arms.items()) for name, arms in counted.items()
    }
    return found | {"partial": any(work.steps(arm) is None for arms in counted.values() for arm in arms)}


def _evaluations(plan: Plan, states: Mapping[str, Collection[str]]) -> dict[str, dict[str, int]]:
    """By evaluator: how often it is asked for, how many judgements differ, and how those stand."""
    names = {key: str(node.evaluator["name"]) for key, node in plan.nodes.items() if node.evaluator is not None}
    requested = Counter(names[use.key] for use in plan.uses if use.kind == "evaluation")
    unique = Counter(names.values())
    stand = {state: Counter(names[key] for key in keys if key in names) for state, keys in states.items()}
    return {
        name: {"requested": count, "unique": unique[name]} | {state: each[name] for state, each in stand.items()}
        for name, count in requested.items()
    }


def _lanes(plan: Plan, todo: Collection[str], room: Room | None) -> int:
    """As many generations as are trained at the same time: chains that nothing continues, and what the cluster holds."""
    chains = planning.segments(plan, todo)
    continued = {chain.parent for chain in chains}
    widest = sum(chain.key not in continued for chain in chains)
    return widest if room is None else min(widest, room.lanes)
