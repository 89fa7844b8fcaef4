"""Scores with 95 % intervals: Wilson's for shares (JASA 22, 1927), the normal approximation for means.

Legend: N independent values, B batches.
"""

import math
import statistics

from torch import Tensor

from evaluators.base import Score

Z95 = 1.96


def share(hits: float, n: int) -> Score:
    """Returns `hits / n` with Wilson's interval, which stays inside 0..1 and has a width even for 0 or n hits.

    `hits` may also be a sum of n independent shares. The interval is then too wide rather than too narrow.
    """
    assert 0 <= hits <= n
    assert n > 0
    p, z2 = hits / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # for 0 and n hits, p itself is a bound of the interval, and rounding must not move the bound past p
    return Score(value=p, n=n, low=max(0.0, min(p, centre - half)), high=min(1.0, max(p, centre + half)))


def mean(values_N: Tensor) -> Score:
    """Returns the mean with +- 1.96 standard errors (sample deviation, ddof 1). A single value has no interval."""
    values = values_N.double()
    centre, n = float(values.mean()), len(values)
    if n < 2:
        return Score(value=centre, n=n)
    half = Z95 * float(values.std(correction=1)) / math.sqrt(n)
    return Score(value=centre, n=n, low=centre - half, high=centre + half)


def ratio(sums_B: Tensor, counts_B: Tensor) -> Score:
    """Returns `sum(sums) / sum(counts)` over B independent batches, with n = B and the interval of the delta method.

    The members of a batch share its noise, so n counts batches and not members.
    """
    sums, counts = sums_B.double(), counts_B.double()
    value = float(sums.sum() / counts.sum())
    errors_B = (sums - value * counts) / counts.mean()
    spread = mean(errors_B)
    if spread.low is None or spread.high is None:
        return Score(value=value, n=spread.n)
    half = (spread.high - spread.low) / 2
    return Score(value=value, n=spread.n, low=value - half, high=value + half)


def median(values_N: Tensor) -> Score:
    """Returns the median between the order statistics that bound it for any distribution.

    Too few values have no interval.
    """
    ranked, n = sorted(values_N.tolist()), len(values_N)
    reach = Z95 * math.sqrt(n) / 2
    low, high = round(n / 2 - reach), round(1 + n / 2 + reach)  # ranks counted from 1
    if low < 1 or high > n:
        return Score(value=statistics.median(ranked), n=n)
    return Score(value=statistics.median(ranked), n=n, low=ranked[low - 1], high=ranked[high - 1])
