import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.report.statistics import Mean, difference, mean, quantile

values = st.lists(st.floats(-100, 100), min_size=2, max_size=30)


def test_by_hand() -> None:
    """1, 2, 3: deviation 1, and the 97.5 % quantile with two degrees of freedom is 4.302653 (any table of t)."""
    half = 4.302652729911275 / 3**0.5
    found = mean([1.0, 2.0, 3.0])
    assert (found.value, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - half)
    assert found.high == pytest.approx(2 + half)


def test_one_value_has_no_interval() -> None:
    assert mean([0.5]) == Mean(0.5, 1)


def test_a_scaled_mean_has_its_interval_scaled_too() -> None:
    assert Mean(0.5, 3, 0.25, 0.75).scaled(100) == Mean(50, 3, 25, 75)
    assert Mean(0.5, 1).scaled(100) == Mean(50, 1)


@given(values)
def test_the_interval_is_that_of_scipy(given: list[float]) -> None:
    found = mean(given)
    error = stats.sem(given)
    low, high = stats.t.interval(0.95, len(given) - 1, np.mean(given), error) if error > 0 else (given[0], given[0])
    assert found.low == pytest.approx(low, abs=1e-9)
    assert found.high == pytest.approx(high, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=20))
def test_the_difference_is_that_of_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    first, second = (list(each) for each in zip(*pairs, strict=True))
    found = difference(first, second)
    if np.std(np.subtract(first, second)) > 1e-6:
        bounds = stats.ttest_rel(first, second).confidence_interval(0.95)
        assert found.low == pytest.approx(bounds.low, abs=1e-7)
        assert found.high == pytest.approx(bounds.high, abs=1e-7)


def test_pairing_removes_what_the_seeds_have_in_common() -> None:
    """Seeds differ by 10, the two always by 1: an unpaired test would find no difference."""
    found = difference([11.0, 21.0, 31.0], [10.0, 20.0, 30.0])
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("n", "t"), [(2, 12.706204736), (3, 4.302652730), (10, 2.262157163), (31, 2.042272456)])
def test_quantiles_are_those_of_the_tables(n: int, t: float) -> None:
    assert quantile(n) == pytest.approx(t, abs=1e-6)
