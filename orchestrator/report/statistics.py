"""Means over seeds with Student's 95 % intervals, and paired differences (Student, Biometrika 6, 1908)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.special import stdtrit


@dataclass(frozen=True)
class Mean:
    """A mean of `n` values; one value has no interval."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None


@lru_cache(maxsize=4096)
def quantile(n: int) -> float:
    """The 97.5 % quantile of Student's t with n - 1 degrees of freedom."""
    return float(stdtrit(n - 1, 0.975))


def mean(values: Sequence[float]) -> Mean:
    """The mean of n >= 1 independent values, +- t standard errors (sample deviation, ddof 1)."""
    n = len(values)
    centre = math.fsum(values) / n
    if n < 2:
        return Mean(centre, n)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    half = quantile(n) * math.sqrt(variance / n)
    return Mean(centre, n, centre - half, centre + half)


def difference(first: Sequence[float], second: Sequence[float]) -> Mean:
    """The mean of `first - second`, pair by pair."""
    return mean([a - b for a, b in zip(first, second, strict=True)])
