import math

import numpy as np
import pytest

from orchestrator.estimate.rates import Interval, interval, total


@pytest.mark.parametrize("samples", [2, 3, 5, 8])
def test_few_log_normal_samples_contain_the_next_in_8_of_10_cases(samples: int) -> None:
    random = np.random.default_rng(samples)
    drawn = np.exp(random.normal(-3.0, 0.4, size=(4000, samples + 1)))
    contained = 0
    for *seen, following in drawn.tolist():
        found = interval(seen)
        assert found.p10 is not None
        assert found.p90 is not None
        assert found.p10 <= found.p50 <= found.p90
        contained += found.p10 <= following <= found.p90
    assert contained / 4000 == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("samples", [9, 19, 40])
def test_enough_samples_of_any_distribution_contain_the_next_in_8_of_10_cases(samples: int) -> None:
    random = np.random.default_rng(samples)
    for drawn in (random.uniform(1, 2, size=(4000, samples + 1)), random.pareto(1.5, size=(4000, samples + 1)) + 0.1):
        found = [(interval(seen), following) for *seen, following in drawn.tolist()]
        contained = sum(
            each.p10 is not None and each.p90 is not None and each.p10 <= at <= each.p90 for each, at in found
        )
        assert contained / 4000 == pytest.approx(0.8, abs=0.02)


def test_ranks_by_hand() -> None:
    """With 9 samples the bounds are the 1st and the 9th; with 19 they are the 2nd and the 18th."""
    assert interval([float(each) for each in range(1, 10)]) == Interval(1.0, 5.0, 9.0)
    assert interval([float(each) for each in range(1, 20)]) == Interval(2.0, 10.0, 18.0)


def test_two_samples_by_hand() -> None:
    """The logarithms have mean 1 and standard deviation sqrt(2); the bounds are 1 -+ 3.078 sqrt(2) sqrt(1.5)."""
    found = interval([1.0, math.exp(2)])
    assert found.p10 == pytest.approx(math.exp(1 - 5.3312), rel=1e-3)
    assert found.p90 == pytest.approx(math.exp(1 + 5.3312), rel=1e-3)


def test_one_sample_has_no_interval() -> None:
    assert interval([0.25]) == Interval(None, 0.25, None)
    assert total([Interval(None, 1.0, None), Interval(1.0, 2.0, 3.0)]) == Interval(None, 3.0, None)


def test_sums_and_multiples() -> None:
    assert total([Interval(1.0, 2.0, 4.0), Interval(0.5, 1.0, 2.0)]) == Interval(1.5, 3.0, 6.0)
    assert total([]) == Interval(0.0, 0.0, 0.0)
    assert Interval(1.0, 2.0, 4.0) * 3 == Interval(3.0, 6.0, 12.0)
    assert Interval(None, 2.0, None) * 3 == Interval(None, 6.0, None)


def test_json_has_four_digits() -> None:
    assert Interval(0.123456, 12.3456, None).as_json() == {"p10": 0.1235, "p50": 12.35, "p90": None}
