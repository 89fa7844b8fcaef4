"""Whether an experiment reproduced the results of a capsule: a verdict on two capsules.

Two scores agree where they differ by no more than their joint 95 % noise: for a < b, b - a <= sqrt((high_a - a)^2 +
(b - low_b)^2) (Newcombe, Statistics in Medicine 17, 1998, method 10). Scores without an interval have no stated noise:
a convention that the verdict names applies to them.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.results.capsule import Capsule, Done, Measured
from orchestrator.states import ExperimentState

INTERVAL = "joint 95 % interval"
SAME_WEIGHTS = "no interval, the same weights: relative 0.001"
OTHER_WEIGHTS = "no interval, other weights: a factor of 2"
MISSING = "missing here"
UNDEFINED = "not a number on one side"
UNFINISHED = frozenset(ExperimentState) - {ExperimentState.SUCCEEDED, ExperimentState.FAILED}

Document = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """One score of the node `title` in both capsules, and the rule that applies where the two are not equal.

    `there` is from the given capsule, `here` from the experiment that is compared with it.
    """

    title: str
    metric: str
    there: Measured | None
    here: Measured | None
    rule: str
    allowed: float | None
    """The largest difference that the rule allows."""

    @property
    def equal(self) -> bool:
        """Whether value, interval and n are the same on both sides."""
        return self.rule != MISSING and self.there == self.here

    @property
    def difference(self) -> float | None:
        """The absolute difference of the two values; None where a side has none."""
        values = [score.value for score in (self.there, self.here) if score is not None and score.value is not None]
        return abs(values[0] - values[1]) if len(values) == 2 else None

    @property
    def inside(self) -> bool:
        """Whether the scores agree: they are equal, or differ by no more than the rule allows."""
        return self.equal or (
            self.difference is not None and self.allowed is not None and self.difference <= self.allowed
        )

    def as_json(self) -> dict[str, Any]:
        """The comparison as the verdict shows it."""
        scores = {name: score and score.model_dump() for name, score in (("there", self.there), ("here", self.here))}
        return {
            "node": self.title,
            "metric": self.metric,
            **scores,
            "difference": self.difference,
            "allowed": self.allowed,
            "rule": self.rule,
        }


def verdict(there: Capsule, here: Capsule) -> dict[str, Any]:
    """How the experiment of capsule `here` compares with capsule `there`.

    The answer's `verdict` is `same` (all weights and scores are equal bit for bit), `same within noise`,
    `differs at node X` (the first in plan order with a score that is outside or missing), or `not finished`.
    """
    same_keys = {node.key for node in there.nodes} == {node.key for node in here.nodes}
    pairs = list(_pairs(there, here, same_keys))
    scores = [score for pair in pairs for score in _scores(*pair)]
    outside = [score for score in scores if not score.inside]
    both = [(a, b) for a, b in pairs if b is not None]
    other_bits = [a.title for a, b in both if a.weights_sha256 != b.weights_sha256]
    other_data = [a.title for a, b in both if (a.source, a.target, a.digests) != (b.source, b.target, b.digests)]
    if here.experiment.state in UNFINISHED:
        outcome = "not finished"
    elif outside:
        outcome = f"differs at node {outside[0].title}"
    elif other_bits or not all(score.equal for score in scores):
        outcome = "same within noise"
    else:
        outcome = "same"
    counts = _counts(both, here.experiment.id)
    return {
        "verdict": outcome,
        "experiment": here.experiment.id,
        "state": here.experiment.state,
        "capsule": {"experiment": there.experiment.id, "sha256": there.sha256},
        "nodes": counts,
        "scores": {
            "compared": len(scores),
            "equal": sum(score.equal for score in scores),
            "within": sum(score.inside and not score.equal for score in scores),
            "outside": len(outside),
            "rules": dict(Counter(score.rule for score in scores if not score.equal)),
        },
        "first_outside": outside[0].as_json() if outside else None,
        "first_other_bits": next(iter(other_bits), None),
        "first_other_data": next(iter(other_data), None),
        "notes": list(_notes(counts, same_keys, there, here, other_bits, other_data)),
    }


def _pairs(there: Capsule, here: Capsule, same_keys: bool) -> Iterator[tuple[Done, Done | None]]:
    """Yields every node of `there` with its counterpart in `here`, found by key if `same_keys`, else by title."""
    mine = dict(_named(here, same_keys))
    for name, node in _named(there, same_keys):
        yield node, mine.get(name)


def _named(capsule: Capsule, by_key: bool) -> Iterator[tuple[tuple[str, int], Done]]:
    seen: Counter[str] = Counter()
    for node in capsule.nodes:
        name = node.key if by_key else node.title
        yield (name, seen[name]), node
        seen[name] += 1


def _scores(there: Done, here: Done | None) -> Iterator[Compared]:
    if there.weights_sha256 is not None and (here is None or here.weights_sha256 is None):
        yield Compared(
            there.title,
            "weights",
            None,
            None,
            MISSING,
            None,
        )
    same_weights = here is not None and there.judged_sha256 == here.judged_sha256
    for metric, theirs in there.results.items():
        ours = None if here is None else here.results.get(metric)
        yield Compared(
            there.title,
            metric,
            theirs,
            ours,
            *_rule(theirs, ours, same_weights),
        )


def _rule(there: Measured, here: Measured | None, same_weights: bool) -> tuple[str, float | None]:
    if here is None:
        return MISSING, None
    if there.value is None or here.value is None:
        return UNDEFINED, None
    (a, low), (b, high) = sorted(((there.value, there), (here.value, here)), key=lambda pair: pair[0])
    above = None if low.high is None else low.high - a
    below = None if high.low is None else b - high.low
    halves = [half for half in (above, below) if half is not None]
    if halves:  # where only one has an interval, the other's noise is assumed to be as large
        return INTERVAL, math.hypot(halves[0], halves[-1])
    largest = max(abs(a), abs(b))
    return (SAME_WEIGHTS, 1e-3 * largest) if same_weights else (OTHER_WEIGHTS, largest / 2)


def _counts(both: list[tuple[Done, Done]], experiment: str) -> dict[str, int]:
    """The number of nodes on both sides, of those that this experiment made anew, and of those that it found.

    `same_work` counts the found nodes that are the very ones the capsule describes.
    """
    made = [(a.made_by, b.made_by) for a, b in both if b.made_by is not None]
    anew = sum(here.startswith(f"{experiment}/") for _, here in made)
    same = sum(there == here for there, here in made)
    return {"compared": len(made), "anew": anew, "found": len(made) - anew, "same_work": same}


def _notes(
    counts: dict[str, int], same_keys: bool, there: Capsule, here: Capsule, other_bits: list[str], other_data: list[str]
) -> Iterator[str]:
    yield f"{counts['anew']} of {counts['compared']} nodes were made anew, {counts['found']} were found"
    if counts["same_work"]:
        yield (
            f"{counts['same_work']} of the nodes found are the very work that the capsule describes, which proves "
            "nothing: check it with a fresh RELEARN_HOME"
        )
    if not same_keys:
        yield (
            "this version gives other keys: the method changed since the capsule was made; nodes are compared by title"
        )
    if other_bits:
        yield f"weights differ in their bits, first at {other_bits[0]}; that alone is no difference in result"
    if other_data:
        yield f"data or episodes have other digests, first at {other_data[0]}"
    for name, theirs in there.versions.items():
        if (ours := here.versions.get(name)) != theirs:
            yield f"{name} is {ours} here, {theirs} there"
