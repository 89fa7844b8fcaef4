"""What was observed of a kind of work becomes an interval for the next of its kind, as wide as the samples are few."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ENOUGH = 9
"""Samples from which on their order alone gives an interval of 80 %."""
_T90 = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415)
"""0.9 quantile of Student's t with 1, 2, ..., 7 degrees of freedom."""


@dataclass(frozen=True)
class Interval:
    """8 of 10 further samples of what was timed lie between `p10` and `p90`; both are None where there is only one sample."""

    p10: float | None
    p50: float
    p90: float | None

    def __mul__(self, factor: float) -> "Interval":
        ends = [None if each is None else each * factor for each in (self.p10, self.p90)]
        return Interval(ends[0], self.p50 * factor, ends[1])

    def as_json(self) -> dict[str, float | None]:
        """With four significant digits."""
        return {name: None if value is None else float(f"{value:.4g}") for name, value in vars(self).items()}


def interval(samples: Sequence[float]) -> Interval:
    """The interval in which one further sample is to be expected, around their median.

    From 9 samples on its ends are at the ranks 0.1 (n + 1) and 0.9 (n + 1), whatever the distribution. Of 2 to 8 samples the
    logarithms are taken as normal: mean -+ t s sqrt(1 + 1/n). Both are for exchangeable samples; epochs of one generation are
    more alike than those of several, so what differs between runs is in it only as far as several were timed. Samples are
    positive.
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
    """The sum, were all parts slow or fast together: never narrower than it should be."""
    found = list(parts)
    lows, highs = [each.p10 for each in found], [each.p90 for each in found]
    middle = math.fsum(each.p50 for each in found)
    if None in lows or None in highs:
        return Interval(None, middle, None)
    return Interval(math.fsum(filter(None, lows)), middle, math.fsum(filter(None, highs)))


@dataclass(frozen=True)
class Rate:
    """Seconds that one unit of a kind of work took, and where that is known from."""

    seconds: tuple[float, ...]
    basis: str

    @cached_property
    def interval(self) -> Interval:
        return interval(self.seconds)
