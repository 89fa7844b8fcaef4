"""The work that a plan saves and the reasons, as sentences with counts, with the largest saving first."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.estimate.epochs import separate_generations
from orchestrator.estimate.workload import Workload, counted
from orchestrator.plan import Node, Plan
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Standing

NAMED = 4
"""The number of arms that a sentence names; it only counts the others."""


@dataclass
class _Group:
    """The nodes that one sentence is about, and how many nodes and epochs they save."""

    generations: set[int]
    seeds: set[int]
    nodes: int = 0
    epochs: int = 0

    def add(self, node: Node, saved: int, epochs: int) -> None:
        self.generations.add(node.generation)
        self.seeds.add(node.seed)
        self.nodes += saved
        self.epochs += saved * epochs


def find_savings(
    spec: ExperimentSpec,
    plan: Plan,
    workload: Workload,
    standings: Mapping[str, Standing],
    cached: Collection[str],
    in_flight: Collection[str],
) -> list[dict[str, Any]]:
    """Returns one entry per reason: `why`, and how many `generations`, `epochs` and `evaluations` it saves.

    `cached` and `in_flight` have the keys of the nodes that were done before or that another experiment makes.
    """
    users: dict[str, dict[str, None]] = {}
    for use in plan.uses:
        users.setdefault(use.key, {})[use.arm] = None
    trained: dict[tuple[str, ...], _Group] = {}
    evaluated: dict[tuple[str, ...], _Group] = {}
    elsewhere: dict[tuple[str, str, str, bool], _Group] = {}
    for key, node in plan.nodes.items():
        arms = tuple(users[key])
        is_evaluation = node.kind == "evaluation"
        epochs = 0 if node.kind != "generation" or workload.arm(node.arm).method is None else workload.epochs(node.arm)
        if len(arms) > 1:
            group = (evaluated if is_evaluation else trained).setdefault(arms, _Group(set(), set()))
            group.add(node, len(arms) - 1, epochs)
        if key in cached or key in in_flight:
            standing = standings[key]
            maker = str(standing.made_by).split("/")[0] if key in cached else str(standing.waiting)
            what = str(node.evaluator["name"]) if node.evaluator is not None else ""
            group = elsewhere.setdefault((maker, node.arm, what, key in cached), _Group(set(), set()))
            group.add(node, 1, epochs)
    found = [*_own_runs(spec, plan, workload)]
    found += [
        _entry(_common(spec, workload, arms, group), group, is_evaluation=False) for arms, group in trained.items()
    ]
    for arms, group in evaluated.items():
        why = f"{counted(group.nodes, 'evaluation')} saved, because {_listed(arms)} share the evaluated networks"
        found.append(_entry(why, group, is_evaluation=True))
    for (maker, arm, what, done), group in elsewhere.items():
        found.append(_entry(_elsewhere(maker, arm, what, done, group), group, is_evaluation=bool(what)))
    return sorted(found, key=lambda each: (-each["epochs"], -each["generations"], -each["evaluations"]))


def _own_runs(spec: ExperimentSpec, plan: Plan, workload: Workload) -> Iterator[dict[str, Any]]:
    """Yields the saving of networks that are requested of an arm and that its own longer run contains."""
    lengths: dict[tuple[str, int], int] = {}
    for use in plan.uses:
        if use.kind == "generation" and workload.arm(use.arm).method is not None:
            at = use.arm, use.seed
            lengths[at] = max(use.generation + 1, lengths.get(at, 0))
    less = separate_generations(spec, plan)
    for (arm, _), length in lengths.items():
        less[arm] -= length
    saved = +less  # drops arms whose run is longer than their requested networks
    if not saved:
        return
    generations, epochs = saved.total(), sum(count * workload.epochs(arm) for arm, count in saved.items())
    its = "its" if len(saved) == 1 else "their"
    seeds = f" with {len(spec.seeds)} seeds" if len(spec.seeds) > 1 else ""
    why = (
        f"networks of {_listed(tuple(saved))} after fewer generations are part of {its} own longer run: "
        f"{counted(generations, 'generation')} saved{seeds}"
    )
    yield {"why": why, "epochs": epochs, "generations": generations, "evaluations": 0}


def _entry(why: str, group: _Group, *, is_evaluation: bool) -> dict[str, Any]:
    counts = (
        {"generations": 0, "evaluations": group.nodes}
        if is_evaluation
        else {"generations": group.nodes, "evaluations": 0}
    )
    return {"why": why, "epochs": group.epochs} | counts


def _common(spec: ExperimentSpec, workload: Workload, arms: tuple[str, ...], group: _Group) -> str:
    which = _ranges(group.generations)
    saved = f"{counted(group.nodes, 'generation')} saved"
    if len(group.seeds) > 1:
        saved += f" with {len(group.seeds)} seeds"
    for base in arms:
        forks = [workload.arm(arm).fork for arm in arms if arm != base]
        if all(fork is not None and fork.arm == base and fork.experiment is None for fork in forks):
            verbs = ("continues", "shares") if len(arms) == 2 else ("continue", "share")
            others = _listed(tuple(arm for arm in arms if arm != base))
            return f"{others} {verbs[0]} {base} and {verbs[1]} {which} with it: {saved}"
    whole = set(range(min(spec.train_of(workload.arm(arm)).generations for arm in arms)))
    why = f"{which} {_is(group)} common to {_listed(arms)}: {saved}"
    return f"{why} (their settings are the same)" if whole == group.generations and len(whole) > 1 else why


def _elsewhere(maker: str, arm: str, what: str, done: bool, group: _Group) -> str:
    many = len(group.generations) > 1 or group.nodes > 1
    if what:
        subject = f"{what} of {arm} ({counted(group.nodes, 'evaluation')})"
        many = group.nodes > 1
    else:
        subject = f"{_ranges(group.generations)} of {arm} ({counted(group.nodes, 'node')})"
    verb = "were" if many else "was"
    now = "are" if many else "is"
    made = "made" if what or not group.epochs else "trained"
    return f"{subject} {verb} {made} in {maker}" if done else f"{subject} {now} being {made} or waited for by {maker}"


def _is(group: _Group) -> str:
    return "are" if len(group.generations) > 1 else "is"


def _ranges(generations: Collection[int]) -> str:
    """Returns text such as `generation 0`, `generations 0-3` or `generations 0-2, 5`."""
    runs: list[list[int]] = []
    for each in sorted(generations):
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f"generation{'s' if len(generations) > 1 else ''} {text}"


def _listed(arms: tuple[str, ...]) -> str:
    if len(arms) <= NAMED + 1:
        return ", ".join(arms)
    return f"{', '.join(arms[:NAMED])} and {len(arms) - NAMED} more"
