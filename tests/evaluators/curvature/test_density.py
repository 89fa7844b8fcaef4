import math

import pytest
import torch
from torch import Tensor

from evaluators.curvature.density import broadened, hutchinson, quadrature
from evaluators.curvature.lanczos import Matvec

F64, CPU = torch.float64, torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def symmetric(size: int) -> Tensor:
    matrix = torch.randn(size, size, dtype=F64, generator=seeded(size))
    return matrix + matrix.T


def product(matrix: Tensor) -> Matvec:
    return lambda v: matrix @ v


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_quadrature_is_exact_for_the_moments_of_its_start_vector_to_degree_two_m_minus_one(steps: int) -> None:
    matrix = symmetric(30) / 10
    start = torch.randn(30, dtype=F64, generator=seeded(1))
    start /= start.norm()
    nodes, weights = quadrature(product(matrix), 30, seeded(1), steps, F64, CPU)
    assert len(nodes) == steps
    power = start
    for degree in range(2 * steps + 1):
        exact, found = float(start @ power), float((weights * nodes**degree).sum())
        if degree < 2 * steps:
            assert found == pytest.approx(exact, rel=1e-10, abs=1e-12)
        else:
            assert found != pytest.approx(exact, rel=1e-4)
        power = matrix @ power


def test_as_many_steps_as_rows_give_every_eigenvalue_and_a_mean_over_probes_their_shares() -> None:
    matrix = symmetric(12)
    truth = torch.linalg.eigvalsh(matrix)
    shares = torch.zeros(12, dtype=F64)
    for probe in range(200):
        nodes, weights = quadrature(product(matrix), 12, seeded(probe), 50, F64, CPU)
        assert ((nodes - truth).abs() < 1e-10).all()
        shares += weights / 200
    # a squared coordinate of a uniform unit vector has mean 1/P and variance 2 (P - 1) / (P^2 (P + 2))
    error = math.sqrt(2 * 11 / (144 * 14) / 200)
    assert ((shares - 1 / 12).abs() < 4 * error).all()


def test_a_closed_space_ends_the_quadrature_with_the_exact_measure() -> None:
    matrix = torch.tensor([3.0] * 20 + [-1.0] * 20, dtype=F64).diag()
    nodes, weights = quadrature(product(matrix), 40, seeded(0), 30, F64, CPU)
    start = torch.randn(40, dtype=F64, generator=seeded(0))
    high = float(start[:20].square().sum() / start.square().sum())
    assert nodes.tolist() == pytest.approx([-1, 3], abs=1e-12)
    assert weights.tolist() == pytest.approx([1 - high, high], abs=1e-12)


@pytest.mark.parametrize("width", [0.001, 0.03, 0.5])
def test_the_broadened_density_has_the_moments_of_its_gaussians(width: float) -> None:
    nodes, weights = torch.tensor([-1.0, 0.5, 3.0], dtype=F64), torch.tensor([0.2, 0.7, 0.1], dtype=F64)
    grid, values = broadened(nodes, weights, width)
    step, sigma = float(grid[1] - grid[0]), 4 * width
    assert step == pytest.approx(sigma / 4, rel=0.02)
    mean, square = float((weights * nodes).sum()), float((weights * nodes.square()).sum()) + sigma**2
    found = [float((values * grid**degree).sum() * step) for degree in range(3)]
    assert found == pytest.approx([1, mean, square], rel=1e-4, abs=1e-6 * (1 + square))
    middle = float(values[(grid - 0.5).abs().argmin()])
    if width == 0.001:  # the other Gaussians are far away: the peak is w / (sigma sqrt(2 pi)), but for a half grid step
        assert middle == pytest.approx(0.7 / (sigma * math.sqrt(2 * math.pi)), rel=0.01)


def test_one_value_is_broadened_by_its_own_size() -> None:
    for value, sigma in ((2.0, 0.02), (-3.0, 0.03), (0.0, 0.01)):
        grid, values = broadened(torch.tensor([value], dtype=F64), torch.ones(1, dtype=F64), 0.01)
        assert float(values.max()) == pytest.approx(1 / (sigma * math.sqrt(2 * math.pi)), rel=1e-6)
        assert float((values * grid).sum() / values.sum()) == pytest.approx(value, abs=1e-12)


def test_random_signs_give_the_trace_of_a_diagonal_matrix_exactly() -> None:
    diagonal = torch.linspace(-2, 7, 50, dtype=F64)
    found = hutchinson(lambda v: diagonal * v, 50, seeded(0), 4, F64, CPU)
    assert len(found) == 4
    assert ((found - diagonal.sum()).abs() < 1e-10).all()


def test_trace_estimates_are_unbiased_with_the_variance_of_random_signs() -> None:
    matrix = symmetric(20)
    found = hutchinson(product(matrix), 20, seeded(3), 4000, F64, CPU)
    off_diagonal = matrix - matrix.diag().diag()
    variance = 2 * float(off_diagonal.square().sum())  # Hutchinson 1990; Gaussian vectors would add the diagonal's part
    error = math.sqrt(variance / 4000)
    assert float(found.mean()) == pytest.approx(float(matrix.trace()), abs=4 * error)
    assert float(found.var()) == pytest.approx(variance, rel=0.15)
    assert len(set(found.tolist())) > 3000
