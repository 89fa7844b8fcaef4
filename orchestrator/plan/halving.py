"""Asynchronous successive halving (ASHA, Li et al., MLSys 2020, arXiv 1810.05934, algorithm 2).

A rung is a generation. A trial that has reached a rung is promoted to the next one as soon as it is among the best
1/reduction of the trials that have reached it. Until then, the trial waits with its committed generation. Promotions
depend only on the measured scores, so a restarted search trains nothing twice.

Two things differ from the paper. First, the trials are fixed from the start. A rung that no further trial can reach is
therefore final, and at least `keep` trials are promoted from it; otherwise a ladder of few rungs could end with too few
trials. Second, the last rung is the last generation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.spec.search import Ladder

Scores = Mapping[int, float]
"""The objective of a trial by generation. Larger is better."""


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
    """Returns all promotions that are allowed now, the most promising first.

    Higher rungs come before lower ones, and better trials before worse ones. `training` maps each trial that is being
    trained to the generation at which it will stop. `out` are the trials that failed.
    """
    found: list[Promotion] = []
    left = [trial for trial in trials if trial not in out]
    allowed, final = left, True  # every trial may train to the first rung
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
    """Returns all trials, best first: by the highest rung that they reached, then by the objective on that rung."""

    def rank(trial: str) -> tuple[int, float]:
        reached = [rung for rung in ladder.rungs if rung in scores.get(trial, {})]
        return (-len(reached), -scores[trial][reached[-1]]) if reached else (0, 0.0)

    return sorted(trials, key=rank)


def kept(ladder: Ladder, trials: Sequence[str], scores: Mapping[str, Scores]) -> list[str]:
    """Returns the best `keep` trials among those that have reached the last rung, best first."""
    last = ladder.rungs[-1]
    return [trial for trial in standing(ladder, trials, scores) if last in scores.get(trial, {})][: ladder.keep]
