"""Which committed checkpoints may go, and which generations are trained again because theirs went: functions over rows.

A node's parent needs no record of its own: the generation before it, and the generation that an evaluation is of, stand in the
same row of every experiment that shows it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.checkpoints.folders import FETCHED, RAY, REMOVED
from orchestrator.states import NodeState
from orchestrator.store.records import Holdings

USED = "used by an experiment that has not ended"
EVALUATED = "a result was measured on it, or is to be"
CONTINUED = "a generation that is not done goes on from it"
LAST = "the last of its row, from which a longer experiment goes on"
REFERRED = "a fork or an arm refers to it"
YOUNG = "younger than the grace period"


def stays(holdings: Holdings, now: float, grace_s: float) -> dict[str, str | None]:
    """By key of every committed checkpoint: the first reason why it stays; None where it may go."""
    trained = {each.place: each.key for each in holdings.shown if each.kind != "evaluation"}
    last: dict[tuple[str, str, int], int] = {}
    for experiment, arm, seed, generation in trained:
        row = experiment, arm, seed
        last[row] = max(generation, last.get(row, 0))
    reasons: dict[str, set[str]] = {
        USED: holdings.used,
        EVALUATED: {trained[each.place] for each in holdings.shown if each.kind == "evaluation"},
        CONTINUED: set(_continued(holdings, trained)),
        LAST: {trained[*row, generation] for row, generation in last.items()},
        REFERRED: set(_referred(holdings, trained)),
        YOUNG: {each.key for each in holdings.shown if each.finished_at is None or now - each.finished_at < grace_s},
    }
    return {
        key: next((reason for reason, keys in reasons.items() if key in keys), None)
        for key, node in sorted(holdings.nodes.items())
        if node.uri is not None
    }


@dataclass(frozen=True)
class Folder:
    """A folder of the storage, such as `progress/KEY`; `changed_at` in seconds since the epoch."""

    path: str
    changed_at: float


def folder_goes(folder: Folder, holdings: Holdings, now: float, grace_s: float) -> str | None:
    """Why a folder of the storage may go; None where it stays, as does all that this database knows nothing of."""
    part, _, name = folder.path.partition("/")
    if part == REMOVED:
        return "an earlier clean-up did not get to remove it"
    if part == RAY:
        found = re.search(r"exp_\d{8}-\d{6}-[0-9a-f]{8}", name)
        posted = holdings.experiments.get(found[0]) if found else None
        return "scratch of an experiment that has ended" if posted and posted.ended_at is not None else None
    key = re.search(r"[0-9a-f]{64}", name)
    node = holdings.nodes.get(key[0]) if key else None
    if node is None or node.key in holdings.used:
        return None
    if part == FETCHED or node.state == NodeState.SUCCEEDED:
        return "a working copy of what is done"
    return "left unfinished longer ago than the grace period" if now - folder.changed_at >= grace_s else None


def _continued(holdings: Holdings, trained: Mapping[tuple[str, str, int, int], str]) -> Iterator[str]:
    for each in holdings.shown:
        before = (each.experiment, each.arm, each.seed, each.generation - 1)
        if each.kind == "generation" and each.state != NodeState.SUCCEEDED and before in trained:
            yield trained[before]


def _referred(holdings: Holdings, trained: Mapping[tuple[str, str, int, int], str]) -> Iterator[str]:
    """The generations that arms fork from, and those of earlier experiments that arms evaluate."""
    forks: set[tuple[str, str, int]] = set()
    for experiment, posted in holdings.experiments.items():
        for arm in posted.spec["arms"]:
            for part in (arm.get("fork") or {}, arm.get("checkpoint") or {}):
                yield from part.get("keys", {}).values()
            fork = arm.get("fork") or {}
            if fork and not fork.get("experiment"):
                forks.add((experiment, fork["arm"], fork["generation"]))
    for (experiment, name, _, generation), key in trained.items():
        if (experiment, name, generation) in forks:
            yield key
