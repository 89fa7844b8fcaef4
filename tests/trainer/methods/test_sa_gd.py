"""Tests SA-GD's probability of descent, and its count of ascents."""

from typing import Any

import pytest
import torch

from tests.trainer.builders import run, small_spec
from trainer.methods.sa_gd import AnnealedDescent


@pytest.mark.parametrize(
    ("annealing", "change", "lr", "epoch", "expected"),
    [
        ("single", 1.0, 0.1, 0, 0.382_206),  # exp(-1 / (15 * 0.1 * ln 2))
        ("single", 2.0, 0.05, 8, 0.314_077),  # exp(-2 / (15 * 0.05 * ln 10))
        ("single", 0.0, 0.1, 5, 1.0),
        ("double", 0.5, 0.1, 0, 0.488_303),  # exp(-(0.5^(ln 2)^(-1/e) / (15 * 0.1 * ln 2))^(0.5772 ln 2))
        ("double", 0.25, 0.02, 6, 0.610_019),
        ("double", 0.0, 0.1, 3, 1.0),
    ],
)
def test_the_probability_of_descent_follows_the_formula(
    annealing: Any, change: float, lr: float, epoch: int, expected: float
) -> None:
    found = AnnealedDescent(annealing=annealing).descent_probability(
        torch.tensor(change, dtype=torch.float64), lr, epoch
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_sa_gd_counts_its_ascents_and_their_dose_within_a_generation() -> None:
    """The temperature is so low that every step ascends."""
    method = {"name": "sa-gd", "temperature": 1e-9, "most_ascent": 1.0, "sigma": 2.0}
    one = small_spec(method, generations=2, lr=1e-3)
    _, rows = run(one)
    assert [row.metrics["forgetting/ascent_steps"] for row in rows] == [3, 6, 9, 12] * 2
    rates = [1e-3 * one.train.schedule.factor(0, epoch, 4, 2) for epoch in range(4)]
    doses = [row.metrics["forgetting/ascent_dose"] for row in rows]
    assert doses == pytest.approx([3 * 2.0 * sum(rates[: epoch + 1]) for epoch in range(4)] * 2, rel=1e-12)
    assert rows[7].metrics["train/loss"] > rows[0].metrics["train/loss"]


def test_no_more_than_the_capped_share_of_sa_gds_steps_ascends() -> None:
    """The temperature is so low that only the cap matters.

    Of 480 draws at 0.25, 120 ascents are expected, with a standard deviation of 9.5.
    """
    _, rows = run(
        small_spec({"name": "sa-gd", "temperature": 1e-9, "most_ascent": 0.25}, generations=1, epochs=48, batch_size=4)
    )
    assert 84 < rows[-1].metrics["forgetting/ascent_steps"] < 156
