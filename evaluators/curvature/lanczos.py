"""Computes eigenvalues of a Hessian without forming it, by double backward and Lanczos.

The algorithm is that of Golub and Van Loan 2013, 10.1-10.3.

Legend: M steps so far, P parameters in one flat vector, R rows of a block, k wanted eigenvalues.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EXTRA_STEPS = 5
"""How many further steps all wanted values must stay converged.

An eigenvector that the start vector hardly contains appears late.
"""
BLOCK = 16
"""How many vectors of a basis are allocated at a time."""

Matvec = Callable[[Tensor], Tensor]


def hvp(loss: Tensor, parameters: Sequence[Tensor]) -> Matvec:
    """Returns the map v -> Hv, `[P]` to `[P]`, for the Hessian H of the scalar `loss` by `parameters` in their order.

    The map keeps the graph of the gradient, so that a product costs one backward pass through it. That takes 2.2 times
    as long as a forward pass with its gradient; building the graph again for each product would take 3.9 times as long.
    """
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    sizes = [parameter.numel() for parameter in parameters]

    def product(v_P: Tensor) -> Tensor:
        pieces = [v.view_as(g) for v, g in zip(torch.split(v_P, sizes), gradients, strict=True)]
        rows = torch.autograd.grad(gradients, parameters, pieces, retain_graph=True, materialize_grads=True)
        return torch.cat([row.flatten() for row in rows])

    return product


@dataclass(frozen=True)
class Spectrum:
    """The k eigenvalues of largest magnitude, largest first, with their residual norms |Hu - theta u|.

    `largest` is the largest eigenvalue by sign, which need not be among them. `steps` is the number of products.
    """

    values_k: Tensor
    residuals_k: Tensor
    largest: float
    largest_residual: float
    converged: bool
    steps: int


def lanczos(
    matvec: Matvec,
    size: int,
    k: int,
    generator: torch.Generator,
    max_steps: int = 100,
    tolerance: float = 1e-6,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Spectrum:
    """Returns the k eigenvalues of largest magnitude, and the largest by sign, of the symmetric map `matvec`.

    The iteration stops once all residuals have been at most `tolerance * |theta|` for EXTRA_STEPS further steps. It
    also stops at `max_steps`, where `converged` is False, and when the basis spans the whole space, where the values
    are exact. `krylov` describes the other arguments.
    """
    assert 1 <= k <= size
    limit = min(max_steps, size)
    assert limit >= k, f"{max_steps} steps cannot give {k} eigenvalues"
    calm = 0
    for step, space in enumerate(krylov(matvec, size, generator, dtype, device), 1):
        if step < k:
            continue
        values_M, vectors_MM = torch.linalg.eigh(space.tridiagonal_MM)  # ascending, so the largest is the last
        wanted = torch.cat([values_M.abs().argsort(descending=True)[:k], torch.tensor([step - 1])])
        values, residuals = values_M[wanted], space.beta * vectors_MM[-1, wanted].abs()
        # an eigenvalue of exactly zero is known only up to rounding, hence the lower limit
        bounds = (tolerance * values.abs()).clamp(min=space.rounding)
        calm = calm + 1 if bool((residuals <= bounds).all()) else 0
        converged = calm > EXTRA_STEPS or step == size
        if converged or step == limit:
            break
    return Spectrum(
        values[:k],
        residuals[:k],
        float(values[k]),
        float(residuals[k]),
        converged,
        step,
    )


@dataclass(frozen=True)
class Krylov:
    """The result of M Lanczos steps with an orthonormal basis Q: T = Q'HQ is `tridiagonal_MM` (float64).

    If T y = theta y, then Qy is an eigenvector of H up to a residual of norm `beta * |y[-1]|`. `beta` is 0 if the
    Krylov space is closed under H. `rounding` is the rounding error of the largest number so far.
    """

    tridiagonal_MM: Tensor
    beta: float
    rounding: float


def krylov(
    matvec: Matvec, size: int, generator: torch.Generator, dtype: torch.dtype, device: torch.device | str
) -> Iterator[Krylov]:
    """Yields up to `size` steps of Lanczos with full reorthogonalisation from a Gaussian start vector.

    `matvec` maps vectors `[size]` of `dtype` on `device`. The basis lies there too, so memory grows by `size` numbers
    per step. When the space closes, the iteration continues in a new random direction, which finds the copies of
    multiple eigenvalues. Raises ValueError if a product is not finite.
    """
    basis = _Basis(size, dtype, device)
    epsilon = torch.finfo(dtype).eps
    alphas: list[float] = []
    betas: list[float] = []
    scale = 0.0
    q_P = basis.direction(generator)
    while True:
        basis.append(q_P)
        w_P = matvec(q_P)
        alphas.append(float(w_P @ q_P))
        w_P = basis.orthogonalised(w_P)
        beta = float(w_P.norm())
        if not math.isfinite(alphas[-1] + beta):
            raise ValueError(
                "the Hessian of the loss is not finite, the training diverged: evaluate an earlier network"
            )
        scale = max(scale, abs(alphas[-1]), beta)
        closed = beta <= 10 * epsilon * scale  # the rest of w is rounding error
        if closed or len(alphas) == size:
            beta = 0.0
        offsets = torch.tensor(betas, dtype=torch.float64)
        tridiagonal_MM = torch.tensor(alphas, dtype=torch.float64).diag() + offsets.diag(1) + offsets.diag(-1)
        yield Krylov(tridiagonal_MM, beta, epsilon * scale)
        if len(alphas) == size:
            return
        betas.append(beta)
        q_P = basis.direction(generator) if closed else w_P / beta


class _Basis:
    """Orthonormal vectors `[P]` in blocks `[R, P]`, which are allocated when they are needed."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device | str) -> None:
        self._size, self._dtype, self._device = size, dtype, device
        self._blocks: list[Tensor] = []
        self._count = 0

    def append(self, v_P: Tensor) -> None:
        row = self._count % BLOCK
        if row == 0:
            rows = min(BLOCK, self._size - self._count)
            self._blocks.append(torch.empty(rows, self._size, dtype=self._dtype, device=self._device))
        self._blocks[-1][row] = v_P
        self._count += 1

    def orthogonalised(self, v_P: Tensor) -> Tensor:
        """Returns `v_P` without its components along the basis."""
        for _ in range(2):  # one pass leaves a cancellation error, two are enough (Giraud et al. 2005)
            for index, block_RP in enumerate(self._blocks):
                filled_RP = block_RP[: self._count - index * BLOCK]
                v_P = v_P - filled_RP.T @ (filled_RP @ v_P)
        return v_P

    def direction(self, generator: torch.Generator) -> Tensor:
        """Returns a random unit vector that is orthogonal to the basis."""
        v_P = torch.randn(self._size, generator=generator, dtype=torch.float64).to(self._device, self._dtype)
        return functional.normalize(self.orthogonalised(v_P), dim=0)
