import math

import pytest
import torch

from evaluators import intervals


def test_share_is_wilsons_interval() -> None:
    # 8 of 10: centre (0.8 + 3.8416 / 20) / 1.38416, half 1.96 * sqrt(0.016 + 3.8416 / 400) / 1.38416
    score = intervals.share(8, 10)
    assert score.value == 0.8
    assert score.n == 10
    assert score.low == pytest.approx(0.490157, abs=1e-6)
    assert score.high == pytest.approx(0.943319, abs=1e-6)


def test_share_has_a_width_at_both_ends() -> None:
    none, every = intervals.share(0, 20), intervals.share(20, 20)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(3.8416 / 23.8416, abs=1e-12)
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(20 / 23.8416, abs=1e-12)


def test_share_of_nothing_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        intervals.share(0, 0)


def test_mean_uses_the_sample_deviation() -> None:
    score = intervals.mean(torch.tensor([1, 2, 3, 4]))
    half = 1.96 * math.sqrt(5 / 3) / 2
    assert (score.value, score.n) == (2.5, 4)
    assert [score.low, score.high] == pytest.approx([2.5 - half, 2.5 + half])


def test_mean_of_one_value_has_no_interval() -> None:
    assert intervals.mean(torch.tensor([7.0])).model_dump() == {"value": 7.0, "n": 1, "low": None, "high": None}


def test_ratio_of_sums_with_the_batches_as_the_sample() -> None:
    # 6 / 4; the linearised errors are (2 - 1.5) / 2 and (4 - 4.5) / 2, their standard error is 0.25
    score = intervals.ratio(torch.tensor([2.0, 4.0]), torch.tensor([1, 3]))
    assert (score.value, score.n) == (1.5, 2)
    assert [score.low, score.high] == pytest.approx([1.01, 1.99])


def test_median_lies_between_order_statistics() -> None:
    # the tables' ranks for ten values: the second and the ninth
    score = intervals.median(torch.tensor([9.0, 1, 8, 2, 7, 3, 6, 4, 5, 10]))
    assert (score.value, score.low, score.high, score.n) == (5.5, 2.0, 9.0, 10)


def test_median_of_few_values_has_no_interval() -> None:
    score = intervals.median(torch.tensor([3.0, 1.0, 2.0]))
    assert (score.value, score.low, score.high, score.n) == (2.0, None, None, 3)
