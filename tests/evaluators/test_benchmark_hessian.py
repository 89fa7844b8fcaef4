"""The parts of benchmarks/hessian.py that need no clock: its baseline, the choice of it, and one minibatch."""

import pytest
import torch
from torch import Tensor

from benchmarks import hessian
from benchmarks.hessian import Tally
from trainer.core.data import Dataset

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch.func's own

CPU = torch.device("cpu")


def power(diagonal: list[float], tolerance: float, iterations: int) -> tuple[Tensor, int]:
    values = torch.tensor(diagonal, dtype=torch.float64)
    start = torch.Generator().manual_seed(0)
    return hessian.power_iteration(lambda v: values * v, len(values), 3, start, tolerance, iterations, CPU)


def test_the_baseline_finds_separated_eigenvalues_in_the_order_of_their_magnitude() -> None:
    found, products = power([1, -4, 0.1, 2, 0, 0.2], 1e-12, 1000)
    assert found.tolist() == pytest.approx([-4, 2, 1], rel=1e-9)
    # its error falls by (2/4)^2 per product, then (1/2)^2, then (0.2/1)^2: 20, 20 and 9 products to 1e-12, and a few
    assert 40 < products < 70


def test_the_baseline_stops_at_its_iterations() -> None:
    found, products = power([1, -0.9999, 0.9998, 0.9997, 0.9996, 0.9995], 1e-12, 5)
    assert products == 15
    assert len(found) == 3


def test_an_error_is_relative_and_does_not_see_the_order() -> None:
    truth = torch.tensor([4.0, -3.0, 0.1], dtype=torch.float64)
    assert hessian.off(torch.tensor([-3.0, 0.1, 4.0], dtype=torch.float64), truth) == 0
    assert hessian.off(torch.tensor([0.1, -3.3, 4.0], dtype=torch.float64), truth) == pytest.approx(0.1)


def test_the_baseline_counts_where_it_is_cheapest_or_else_best() -> None:
    ways = {"ours": Tally(10, 1e-15), "a": Tally(50, 1e-2), "b": Tally(90, 1e-5), "c": Tally(80, 2e-5)}
    assert hessian.best_baseline(ways, 1e-4) == (ways["c"], True)
    assert hessian.best_baseline(ways, 1e-5) == (ways["b"], True)
    assert hessian.best_baseline(ways, 1e-6) == (ways["b"], False)


def test_ours_is_exact_and_several_times_cheaper_on_a_minibatch(digits: Dataset) -> None:
    ways = hessian.compare(hessian.network("trained", digits), digits, 1, {1e-3: 100, 1e-8: 1000})
    assert ways["ours"].error < 1e-12
    assert ways["ours"].products <= 30
    assert hessian.best_baseline(ways, hessian.ACCURACY) == (ways["power 1e-08"], True)
    assert ways["power 1e-08"].products > 5 * ways["ours"].products
    assert ways["power 0.001"].error > 1e-4


def test_the_full_hessian_is_that_of_the_products(digits: Dataset) -> None:
    objective = hessian.Objective(hessian.network("init", digits), digits, torch.arange(4))
    matrix, v = (
        objective.full_hessian(),
        torch.randn(1082, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
    )
    assert matrix.shape == (1082, 1082)
    torch.testing.assert_close(objective.product()(v), matrix @ v, rtol=1e-10, atol=1e-12)
