"""Means over seeds with Student's 95 % intervals, and paired differences (Student, Biometrika 6, 1908)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.special import stdtrit


@dataclass(frozen=True)
class Mean:
    """A mean of `n` values with its 95 % interval; a single value has no interval over values."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float) -> "Mean":
        """The mean and its interval multiplied by `factor`, for instance 100 for percent."""
        low, high = (None if bound is None else bound * factor for bound in (self.low, self.high))
        return Mean(self.value * factor, self.n, low, high)


@lru_cache(maxsize=4096)
def quantile(n: int) -> float:
    """The 97.5 % quantile of Student's t distribution with n - 1 degrees of freedom."""
    return float(stdtrit(n - 1, 0.975))


def mean(values: Sequence[float]) -> Mean:
    """The mean of n >= 1 independent values, with t standard errors on either side (sample deviation, ddof 1)."""
    n = len(values)
    centre = math.fsum(values) / n
    if n < 2:
        return Mean(centre, n)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    half = quantile(n) * math.sqrt(variance / n)
    return Mean(centre, n, centre - half, centre + half)


def difference(first: Sequence[float], second: Sequence[float]) -> Mean:
    """The mean of the paired differences `first - second`. Raises ValueError where the lengths differ."""
    return mean([a - b for a, b in zip(first, second, strict=True)])
