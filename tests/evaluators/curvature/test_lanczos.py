import math
from itertools import islice

import pytest
import torch
from torch import Tensor

from evaluators.curvature.lanczos import BLOCK, Spectrum, hvp, krylov, lanczos


def doubles(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rotated(eigenvalues: list[float], size: int) -> Tensor:
    """A symmetric matrix with these eigenvalues and otherwise small ones, in a random basis."""
    filler = torch.linspace(-0.5, 0.5, size - len(eigenvalues), dtype=torch.float64)
    values = torch.cat([doubles(eigenvalues), filler])
    random = torch.Generator().manual_seed(size)
    basis = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=random)).Q
    return torch.as_tensor(basis @ values.diag() @ basis.T)


def spectrum(matrix: Tensor, k: int = 5, seed: int = 0, max_steps: int = 100, tolerance: float = 1e-6) -> Spectrum:
    return lanczos(lambda v: matrix @ v, len(matrix), k, torch.Generator().manual_seed(seed), max_steps, tolerance)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dominant_negatives_come_first_and_the_largest_by_sign_is_found_beside_them(seed: int) -> None:
    found = spectrum(rotated([-10, -9, -8, -7, -6, 5], 60), seed=seed)
    assert found.converged
    torch.testing.assert_close(found.values_k, doubles([-10.0, -9, -8, -7, -6]), rtol=0, atol=1e-9)
    assert found.largest == pytest.approx(5, abs=1e-9)
    assert found.largest_residual <= 5e-6
    found = spectrum(rotated([-10, -9, -8, -7, -6, 5], 60), k=6, seed=seed)
    assert found.values_k[5] == pytest.approx(5, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_near_ties_of_opposite_sign_are_told_apart(seed: int) -> None:
    found = spectrum(rotated([10, -9.99, 6, -5.99, 3], 60), seed=seed)
    assert found.converged
    assert found.steps < 40
    torch.testing.assert_close(found.values_k, doubles([10, -9.99, 6, -5.99, 3]), rtol=0, atol=1e-9)
    assert found.largest == found.values_k[0]


def test_the_largest_by_sign_is_waited_for_too() -> None:
    # -50 is found in a few steps, 0.5 is the end of a row of close values
    matrix = rotated([-50], 120)
    found = spectrum(matrix, 1)
    assert found.converged
    assert found.values_k.tolist() == pytest.approx([-50], rel=1e-12)
    assert found.largest == pytest.approx(0.5, rel=1e-9)
    assert found.largest_residual <= 0.5e-6
    alone = spectrum(-matrix, 1)  # here the one by sign is the one by magnitude
    assert alone.steps < found.steps / 2
    short = spectrum(matrix, 1, max_steps=found.steps // 2)
    assert not short.converged
    assert short.residuals_k.max() < 1e-6
    assert short.largest_residual > 1e-6


def test_an_eigenvalue_that_the_start_vector_hardly_holds_is_not_missed() -> None:
    start = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start /= start.norm()
    random = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    random[:, 0] -= start * (start @ random[:, 0])
    random[:, 0] += 1e-10 * start
    hidden, seen = torch.linalg.qr(random).Q.T
    others = torch.eye(60, dtype=torch.float64) - hidden.outer(hidden) - seen.outer(seen)
    filler = others @ torch.linspace(-0.05, 0.05, 60, dtype=torch.float64).diag() @ others
    found = spectrum(filler + seen.outer(seen) + 1.5 * hidden.outer(hidden), 1)
    assert found.converged
    assert found.values_k.tolist() == pytest.approx([1.5], rel=1e-9)


def test_residuals_bound_the_errors_and_fall_with_the_tolerance() -> None:
    matrix = rotated([4, -3, 2], 80)
    truth = doubles([4, -3, 2])
    loose, tight = spectrum(matrix, 3, tolerance=1e-2), spectrum(matrix, 3, tolerance=1e-10)
    for found, tolerance in ((loose, 1e-2), (tight, 1e-10)):
        assert found.converged
        assert ((found.values_k - truth).abs() <= found.residuals_k + 1e-13).all()
        assert (found.residuals_k <= tolerance * truth.abs()).all()
    assert loose.steps < tight.steps


def test_too_few_steps_are_reported_as_not_converged() -> None:
    found = spectrum(rotated([1, 0.9, -0.8, 0.7], 200), max_steps=6)
    assert not found.converged
    assert found.steps == 6
    assert found.residuals_k.max() > 1e-3


def test_all_steps_of_a_small_space_are_exact() -> None:
    matrix = rotated([3, -2], 4)
    found = spectrum(matrix, 4)
    assert found.converged
    assert found.steps == 4
    assert sorted(found.values_k.tolist()) == pytest.approx(torch.linalg.eigvalsh(matrix).tolist(), abs=1e-13)


def test_a_closed_krylov_space_is_left_by_a_new_direction() -> None:
    # three distinct eigenvalues: the space closes after three steps, and the copies lie outside it
    values = torch.tensor([5.0] * 3 + [-2.0] * 2 + [0.0] * 35).double()
    basis = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(7))).Q
    found = spectrum(basis @ values.diag() @ basis.T)
    assert found.converged
    torch.testing.assert_close(found.values_k, doubles([5.0, 5, 5, -2, -2]), rtol=0, atol=1e-12)


def test_a_zero_matrix_has_zero_eigenvalues() -> None:
    found = spectrum(torch.zeros(30, 30, dtype=torch.float64), 3)
    assert found.converged
    assert found.values_k.tolist() == [0, 0, 0]


def test_single_precision_finds_the_same_to_its_precision() -> None:
    matrix = rotated([10, -9.99, 6, -5.99, 3], 300).float()
    found = lanczos(lambda v: matrix @ v, 300, 5, torch.Generator().manual_seed(0), dtype=torch.float32)
    assert found.converged
    torch.testing.assert_close(found.values_k, doubles([10, -9.99, 6, -5.99, 3]), rtol=0, atol=2e-5)


def test_the_basis_stays_orthonormal_across_its_blocks_and_grows_with_the_steps_alone() -> None:
    diagonal = torch.linspace(-1, 1, 300, dtype=torch.float64)
    rows: list[Tensor] = []

    def product(v: Tensor) -> Tensor:
        rows.append(v)
        return diagonal * v

    steps = krylov(product, 300, torch.Generator().manual_seed(0), torch.float64, "cpu")
    *_, last = islice(steps, 3 * BLOCK + 1)
    basis = torch.stack(rows)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(rows), dtype=torch.float64), rtol=0, atol=1e-13)
    torch.testing.assert_close((basis * diagonal) @ basis.T, last.tridiagonal_MM, rtol=0, atol=1e-13)
    # room for a million steps of a million parameters would be 8 TB
    signs = torch.ones(10**6, dtype=torch.float64).index_fill_(0, torch.arange(10**5), -1)
    found = lanczos(lambda v: signs * v, 10**6, 1, torch.Generator().manual_seed(0), max_steps=10**6)
    assert found.converged
    assert found.largest == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_products_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(
        ValueError, match="the Hessian of the loss is not finite, the training diverged: evaluate an earlier"
    ):
        spectrum(torch.full((20, 20), bad, dtype=torch.float64))


def test_products_are_those_of_the_matrix_of_second_derivatives() -> None:
    # f(a, b, c) = a^2 b1 + 3 b1 b2 + b2^3: second derivatives by hand; c does not occur
    a = doubles([2.0]).requires_grad_()
    b = doubles([5.0, 7.0]).requires_grad_()
    c = doubles([1.0]).requires_grad_()
    product = hvp((a[0] ** 2) * b[0] + 3 * b[0] * b[1] + b[1] ** 3, [a, b, c])
    rows = [product(unit) for unit in torch.eye(4, dtype=torch.float64)]
    expected = [[10, 4, 0, 0], [4, 0, 3, 0], [0, 3, 42, 0], [0, 0, 0, 0]]
    assert torch.stack(rows).tolist() == expected
