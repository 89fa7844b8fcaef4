"""The retention rules: which committed checkpoints are kept and why, and which folders may be removed.

The rules are pure functions of the database's contents. They need no record of a node's parent: every experiment that
contains a node also contains, in the same row, the generation before it or the generation that it evaluates.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.checkpoints.folders import FETCHED, RAY, REMOVED
from orchestrator.states import NodeState
from orchestrator.store.records import Holdings

USED = "used by an experiment that has not ended"
EVALUATED = "an evaluation of it is done or planned"
CONTINUED = "an unfinished generation continues from it"
LAST = "the last generation of its row, from which a longer experiment continues"
REFERRED = "a fork or an arm refers to it"
YOUNG = "younger than the grace period"


def reasons_to_keep(holdings: Holdings, now: float, grace_s: float) -> dict[str, str | None]:
    """Maps the key of every committed checkpoint to the first reason why it is kept, or to None if it may be removed.

    `now` is in seconds since the epoch, `grace_s` in seconds.
    """
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
    """A folder of the storage, such as `progress/KEY`. `changed_at` is in seconds since the epoch."""

    path: str
    changed_at: float


def reason_to_remove(folder: Folder, holdings: Holdings, now: float, grace_s: float) -> str | None:
    """Returns why a folder of the storage may be removed, or None if it must be kept.

    Folders of experiments and nodes that are not in this database are kept.
    """
    part, _, name = folder.path.partition("/")
    if part == REMOVED:
        return "an earlier garbage collection was interrupted before it removed this"
    if part == RAY:
        found = re.search(r"exp_\d{8}-\d{6}-[0-9a-f]{8}", name)
        posted = holdings.experiments.get(found[0]) if found else None
        return "temporary files of an experiment that has ended" if posted and posted.ended_at is not None else None
    key = re.search(r"[0-9a-f]{64}", name)
    node = holdings.nodes.get(key[0]) if key else None
    if node is None or node.key in holdings.used:
        return None
    if part == FETCHED or node.state == NodeState.SUCCEEDED:
        return "a working copy of a finished node"
    return "unfinished, and unchanged for longer than the grace period" if now - folder.changed_at >= grace_s else None


def _continued(holdings: Holdings, trained: Mapping[tuple[str, str, int, int], str]) -> Iterator[str]:
    """Yields the keys of the generations that an unfinished generation continues from."""
    for each in holdings.shown:
        before = (each.experiment, each.arm, each.seed, each.generation - 1)
        if each.kind == "generation" and each.state != NodeState.SUCCEEDED and before in trained:
            yield trained[before]


def _referred(holdings: Holdings, trained: Mapping[tuple[str, str, int, int], str]) -> Iterator[str]:
    """Yields the keys of the generations that arms fork from, or evaluate from an earlier experiment."""
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
