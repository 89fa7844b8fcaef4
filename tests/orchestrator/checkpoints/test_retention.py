"""The retention rules are compared with plain loops over random experiments, and each reason with an example."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.checkpoints import retention
from orchestrator.checkpoints.retention import Folder, reason_to_remove, reasons_to_keep
from orchestrator.plan.graph import Kind
from orchestrator.plan.missing import trained_again
from orchestrator.states import NodeState
from orchestrator.store.records import Holdings, Posted, Shown

DAY = 86_400.0
NOW = 1000 * DAY

PATHS = st.text("ab", min_size=1, max_size=5)
"""A row of generations. Generation g has the first g + 1 letters as its key, so equal prefixes are shared nodes."""
ARM = st.fixed_dictionaries(
    {"path": PATHS, "evaluated": st.sets(st.integers(0, 4)), "fork": st.none() | st.integers(0, 3)}
)
EXPERIMENT = st.fixed_dictionaries({"ended": st.booleans(), "arms": st.lists(ARM, min_size=1, max_size=3)})
WORLD = st.lists(EXPERIMENT, min_size=1, max_size=4)
STATES = st.dictionaries(PATHS, st.sampled_from(sorted(set(NodeState) - {NodeState.SUCCEEDED})), max_size=6)
AGES = st.dictionaries(PATHS, st.integers(0, 20), max_size=10)


def rows(world: list[dict[str, Any]]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for number, experiment in enumerate(world):
        for index, arm in enumerate(experiment["arms"]):
            yield number, index, arm


def forked(world: list[dict[str, Any]], number: int, index: int) -> str | None:
    """The key that the arm forks from: a generation that it shares with the experiment's first arm."""
    arm, first = world[number]["arms"][index], world[number]["arms"][0]
    at = arm["fork"]
    if index == 0 or at is None or len(arm["path"]) <= at or arm["path"][: at + 1] != first["path"][: at + 1]:
        return None
    return str(arm["path"][: at + 1])


def use(place: tuple[str, str, int], generation: int, key: str, **more: Any) -> Shown:
    """Returns a node at an experiment, arm and seed: by default a generation that is queued."""
    values: dict[str, Any] = {"kind": "generation", "state": NodeState.QUEUED}
    values |= dict.fromkeys(("uri", "finished_at", "made_by")) | more
    experiment, arm, seed = place
    return Shown(experiment=experiment, arm=arm, seed=seed, generation=generation, key=key, **values)


def holdings_of(world: list[dict[str, Any]], states: dict[str, NodeState], ages: dict[str, int]) -> Holdings:
    shown, posted = [], {}
    for number, experiment in enumerate(world):
        arms = []
        for index in range(len(experiment["arms"])):
            fork = forked(world, number, index)
            arms.append({"name": f"arm{index}", "fork": fork and {"arm": "arm0", "generation": len(fork) - 1}})
        posted[f"exp{number}"] = Posted({"arms": arms}, 0.0 if experiment["ended"] else None)
    for number, index, arm in rows(world):
        place = f"exp{number}", f"arm{index}", 0
        for generation in range(len(arm["path"])):
            name = arm["path"][: generation + 1]
            state = states.get(name, NodeState.SUCCEEDED)
            done = state == "SUCCEEDED"
            made = {
                "state": state,
                "uri": f"uri:{name}" if done else None,
                "finished_at": NOW - ages.get(name, 10) * DAY if done else None,
                "made_by": "by",
            }
            shown.append(use(place, generation, name, **made))
            if generation in arm["evaluated"]:
                shown.append(use(place, generation, f"top1:{name}", kind="evaluation"))
    return Holdings(shown, posted, {})


def needed(world: list[dict[str, Any]], states: dict[str, NodeState], ages: dict[str, int]) -> set[str]:
    """Returns the key of every checkpoint that must be kept, by a plain loop over the rules and rows."""
    found = set()
    for number, index, arm in rows(world):
        path = arm["path"]
        found.add(path)
        for generation in range(len(path)):
            name = path[: generation + 1]
            if generation in arm["evaluated"] or not world[number]["ended"] or ages.get(name, 10) < 7:
                found.add(name)
            if states.get(name, NodeState.SUCCEEDED) != "SUCCEEDED":
                found.add(name[:-1])
        if fork := forked(world, number, index):
            found.add(fork)
    return found


@settings(max_examples=300, deadline=None)
@given(world=WORLD, states=STATES, ages=AGES)
def test_exactly_the_checkpoints_that_no_rule_keeps_may_be_removed(
    world: list[dict[str, Any]], states: dict[str, NodeState], ages: dict[str, int]
) -> None:
    holdings = holdings_of(world, states, ages)
    found = reasons_to_keep(holdings, NOW, 7 * DAY)
    committed = {each.key for each in holdings.shown if each.uri}
    assert set(found) == committed
    assert {name for name, why in found.items() if why is None} == committed - needed(world, states, ages)


@settings(max_examples=300, deadline=None)
@given(world=WORLD, states=STATES, more=st.integers(0, 2))
def test_no_experiment_that_is_posted_again_or_longer_trains_anything_twice(
    world: list[dict[str, Any]], states: dict[str, NodeState], more: int
) -> None:
    holdings = holdings_of(world, states, {})
    kept = {name for name, why in reasons_to_keep(holdings, NOW, 7 * DAY).items() if why is not None}
    done = {each.key for each in holdings.shown if each.state == "SUCCEEDED"}
    for _, _, arm in rows(world):
        path = arm["path"] + "c" * more
        parents = {path[: g + 1]: path[:g] or None for g in range(len(path))}
        parents |= {f"top1:{path[: g + 1]}": path[: g + 1] for g in arm["evaluated"] if g < len(arm["path"])}
        assert trained_again(parents, done, kept) == set()


@settings(max_examples=300, deadline=None)
@given(paths=st.sets(PATHS, min_size=1), done=st.sets(PATHS), lost=st.sets(PATHS))
def test_generations_are_trained_again_from_the_nearest_kept_checkpoint(
    paths: set[str], done: set[str], lost: set[str]
) -> None:
    nodes = sorted({path[: g + 1] for path in paths for g in range(len(path))}, key=len)
    done &= set(nodes)
    chains = set()
    for name in (name for name in nodes if name not in done):
        above = name[:-1]
        while above in done and above in lost:
            chains.add(above)
            above = above[:-1]
    assert trained_again({name: name[:-1] or None for name in nodes}, done, done - lost) == chains


def place(name: str, kind: Kind = "generation", arm: str = "a", experiment: str = "exp", **more: Any) -> Shown:
    """A node that was finished ten days ago. Its name ends with its generation."""
    values: dict[str, Any] = {
        "state": NodeState.SUCCEEDED,
        "uri": None if kind == "evaluation" else f"uri:{name}",
        "finished_at": NOW - 10 * DAY,
    }
    values |= {"made_by": "by", **more}
    return use((experiment, arm, 0), int(name[-1]), name, kind=kind, **values)


def posted(*arms: dict[str, Any], ended_at: float | None = 0.0) -> Posted:
    return Posted({"arms": list(arms)}, ended_at)


def test_the_reason_why_a_checkpoint_is_kept_is_reported() -> None:
    shown = [place("g0"), place("g1"), place("top1", "evaluation"), place("g2"), place("g3"), place("g4"), place("g5")]
    shown += [
        place("g6", finished_at=NOW - DAY),
        place("g7"),
        place("g8", state=NodeState.FAILED, uri=None),
        place("g9", uri=None),
    ]
    experiments = {
        "exp": posted({"name": "a"}, {"name": "b", "fork": {"arm": "a", "generation": 3, "experiment": None}})
    }
    experiments["live"] = posted({"name": "a"}, ended_at=None)
    experiments["later"] = posted({"name": "c", "checkpoint": {"experiment": "exp", "keys": {"0": "g4"}}})
    shown.append(place("g5", experiment="live"))
    assert reasons_to_keep(Holdings(shown, experiments, {}), NOW, 7 * DAY) == {
        "g0": None,
        "g1": retention.EVALUATED,
        "g2": None,
        "g3": retention.REFERRED,
        "g4": retention.REFERRED,
        "g5": retention.USED,
        "g6": retention.YOUNG,
        "g7": retention.CONTINUED,
    }
    experiments["live"] = posted({"name": "a"})
    assert reasons_to_keep(Holdings(shown, experiments, {}), NOW, 7 * DAY)["g5"] == retention.LAST


A, B, ENDED, LIVE = "a" * 64, "b" * 64, "exp_20261124-120000-0000000a", "exp_20261124-120000-0000000b"


@pytest.mark.parametrize(
    ("path", "days", "why"),
    [
        (f"ray/small-{ENDED}-a1-lane0", 0, "temporary files of an experiment that has ended"),
        (f"ray/small-{LIVE}-a1-lane0", 99, None),
        ("ray/small-exp_20261124-120000-0000000c-a1", 99, None),
        ("ray/other", 99, None),
        (f"checkpoints/{A}", 0, "a working copy of a finished node"),
        (f"fetched/{A}", 0, "a working copy of a finished node"),
        (f"progress/{B}", 6, None),
        (f"progress/{B}", 8, "unfinished, and unchanged for longer than the grace period"),
        (f"checkpoints/.{B}.77.partial", 8, "unfinished, and unchanged for longer than the grace period"),
        (f"checkpoints/{'c' * 64}", 99, None),
        (f"checkpoints/{'d' * 64}", 99, None),
        ("checkpoints/mine", 99, None),
        ("removed/0011", 0, "an earlier garbage collection was interrupted before it removed this"),
    ],
)
def test_folders_of_ended_experiments_are_removed_and_unknown_ones_are_kept(
    path: str, days: float, why: str | None
) -> None:
    """`c` is used by an experiment that has not ended; `d` is not in the database."""
    done = {"state": NodeState.SUCCEEDED, "uri": "uri", "finished_at": 0.0, "made_by": "by"}
    shown = [use((ENDED, "a", 0), 0, A, **done), use((ENDED, "a", 0), 1, B), use((LIVE, "a", 0), 0, "c" * 64, **done)]
    holdings = Holdings(shown, {ENDED: posted(), LIVE: posted(ended_at=None)}, {})
    assert reason_to_remove(Folder(path, NOW - days * DAY), holdings, NOW, 7 * DAY) == why
