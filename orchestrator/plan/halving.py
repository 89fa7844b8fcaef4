"""Asynchronous successive halving: who trains on, and how far (ASHA, Li et al., MLSys 2020, arXiv 1810.05934, algorithm 2).

A rung is a generation. A trial that stands on a rung waits there with its committed generation until it is among the best
1/reduction of those that have reached it; then it is promoted to the next. What was measured is all that decides, so a
search that is started again asks for nothing that it has asked for before, and nothing is trained twice.

Two things differ from the paper. The trials are fixed from the start, so a rung that nobody can reach any more is final: from
it at least `keep` are promoted, or too few would be left for the last of a few rungs. And the last rung is the last generation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.spec.search import Ladder

Scores = Mapping[int, float]
"""Objectives of a trial by generation; larger is better."""


@dataclass(frozen=True)
class Promotion:
    """Allows a trial to train up to generation `to`."""

    trial: str
    to: int


def promotions(
    ladder: Ladder,
    trials: Sequence[str],
    scores: Mapping[str, Scores],
    training: Mapping[str, int],
    out: Collection[str],
) -> list[Promotion]:
    """Everything that may be trained now, the most promising first: higher rungs before lower, better before worse.

    `training` says who is being trained up to which generation, and `out` who failed.
    """
    found: list[Promotion] = []
    left = [trial for trial in trials if trial not in out]
    allowed, final = left, True  # on the first rung: everybody, from the start
    for rung in ladder.rungs:
        there = [trial for trial in left if rung in scores.get(trial, {})]
        coming = [trial for trial in left if trial not in there and training.get(trial) == rung]
        waiting = [trial for trial in allowed if trial not in there and trial not in coming]
        found = [*(Promotion(trial, rung) for trial in waiting), *found]
        final = final and not waiting and not coming
        best = sorted(there, key=lambda trial: -scores[trial][rung])  # sorted() keeps the order of equals
        allowed = best[: max(len(best) // ladder.reduction, ladder.keep if final else 0)]
    return found


def standing(ladder: Ladder, trials: Sequence[str], scores: Mapping[str, Scores]) -> list[str]:
    """All trials, best first: who reached a higher rung comes first, then the objective on the highest rung decides."""

    def rank(trial: str) -> tuple[int, float]:
        reached = [rung for rung in ladder.rungs if rung in scores.get(trial, {})]
        return (-len(reached), -scores[trial][reached[-1]]) if reached else (0, 0.0)

    return sorted(trials, key=rank)


def kept(ladder: Ladder, trials: Sequence[str], scores: Mapping[str, Scores]) -> list[str]:
    """The best `keep` of those that have their last generation, in that order."""
    return [trial for trial in standing(ladder, trials, scores) if ladder.rungs[-1] in scores.get(trial, {})][
        : ladder.keep
    ]
