"""Prediction intervals for the duration of one more unit of work, from the durations that were observed."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ENOUGH = 9
"""The least number of samples whose ranks alone give an interval of 80 %."""
_T90 = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415)
"""The 0.9 quantiles of Student's t distribution with 1, 2, ..., 7 degrees of freedom."""


@dataclass(frozen=True)
class Interval:
    """A median and the bounds between which 8 of 10 further samples are expected.

    `p10` and `p90` are both None if there was only one sample.
    """

    p10: float | None
    p50: float
    p90: float | None

    def __mul__(self, factor: float) -> "Interval":
        ends = [None if each is None else each * factor for each in (self.p10, self.p90)]
        return Interval(ends[0], self.p50 * factor, ends[1])

    def as_json(self) -> dict[str, float | None]:
        """Returns the interval with four significant digits."""
        return {name: None if value is None else float(f"{value:.4g}") for name, value in vars(self).items()}


def interval(samples: Sequence[float]) -> Interval:
    """Returns the median of `samples`, which are positive, and the bounds for one further sample.

    From 9 samples on, the bounds are the samples of rank 0.1 (n + 1) and 0.9 (n + 1), whatever the distribution. With
    2 to 8 samples, the logarithms are assumed to be normal, and the bounds are mean -+ t s sqrt(1 + 1/n). Both assume
    that samples are exchangeable. Epochs of one generation are more alike than epochs of several, so the interval
    contains the differences between runs only if several generations were timed.
    """
    middle = statistics.median(samples)
    if len(samples) >= ENOUGH:
        low, high = np.quantile(samples, (0.1, 0.9), method="weibull")
        return Interval(float(low), middle, float(high))
    if len(samples) == 1:
        return Interval(None, middle, None)
    logs = [math.log(each) for each in samples]
    half = _T90[len(samples) - 2] * statistics.stdev(logs) * math.sqrt(1 + 1 / len(samples))
    centre = statistics.fmean(logs)
    return Interval(math.exp(centre - half), middle, math.exp(centre + half))


def total(parts: Iterable[Interval]) -> Interval:
    """Returns the sum of `parts` as if all were slow, or fast, at the same time.

    The interval of the sum is then too wide rather than too narrow.
    """
    found = list(parts)
    lows, highs = [each.p10 for each in found], [each.p90 for each in found]
    middle = math.fsum(each.p50 for each in found)
    if None in lows or None in highs:
        return Interval(None, middle, None)
    return Interval(math.fsum(filter(None, lows)), middle, math.fsum(filter(None, highs)))


@dataclass(frozen=True)
class Rate:
    """The observed seconds per unit of one kind of work, and a description of where they were observed."""

    seconds: tuple[float, ...]
    basis: str

    @cached_property
    def interval(self) -> Interval:
        """The interval for one further unit, in seconds."""
        return interval(self.seconds)
