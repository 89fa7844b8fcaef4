"""Eigenvalues of a Hessian that is never formed: double backward and Lanczos (Golub and Van Loan 2013, 10.1-10.3).

Legend: M steps so far, P parameters in one flat vector, R rows of a block, k wanted eigenvalues.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EXTRA_STEPS = 5
"""How long all wanted values must stay converged: one that the start vector hardly holds is seen late."""
BLOCK = 16
"""Vectors of a basis that are allocated at a time."""

Matvec = Callable[[Tensor], Tensor]


def hvp(loss: Tensor, parameters: Sequence[Tensor]) -> Matvec:
    """The map v -> Hv, `[P]` to `[P]`, for the Hessian H of the scalar `loss` by `parameters` in their order.

    The gradient's graph is kept as long as the map, so a product costs one backward pass through it: 2.2 times a
    forward pass with its gradient, where building the graph anew for each product would cost 3.9 times.
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
    """The k eigenvalues of largest magnitude, largest first, and their residual norms |Hu - theta u|; the largest
    eigenvalue by sign, which need not be among them, with its own; and the products it took."""

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
    """The k eigenvalues of largest magnitude, and the largest one, of the symmetric `matvec` (see `krylov`).

    It stops once their residuals have all been at most `tolerance * |theta|` for EXTRA_STEPS further steps, or at
    `max_steps` (then `converged` is False), or when the basis spans the whole space, where the values are exact.
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
        # an eigenvalue that is exactly zero is known no better than rounding, hence the floor
        bounds = (tolerance * values.abs()).clamp(min=space.rounding)
        calm = calm + 1 if bool((residuals <= bounds).all()) else 0
        converged = calm > EXTRA_STEPS or step == size
        if converged or step == limit:
            break
    return Spectrum(values[:k], residuals[:k], float(values[k]), float(residuals[k]), converged, step)


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis Q of M steps with Q'HQ = `tridiagonal_MM` (float64), starting in the start vector.

    Qy with T y = theta y is an eigenvector of H but for a residual of norm `beta * |y[-1]|`. `beta` is 0 where the space
    is closed: no product leaves it. `rounding` is the smallest part of the largest number that the dtype can tell.
    """

    tridiagonal_MM: Tensor
    beta: float
    rounding: float


def krylov(
    matvec: Matvec, size: int, generator: torch.Generator, dtype: torch.dtype, device: torch.device | str
) -> Iterator[Krylov]:
    """One step after another, to `size` of them, of Lanczos with full reorthogonalisation from a Gaussian start.

    `matvec` maps vectors `[size]` of `dtype` on `device`; the basis lies there too, so memory grows by `size` per step.
    A space that closed is left by a new random direction, which is how the copies of a multiple eigenvalue are found.

    Raises ValueError where a product is not finite.
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
        closed = beta <= 10 * epsilon * scale  # what is left of w is rounding
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
    """Orthonormal vectors `[P]`, in blocks `[R, P]` that are allocated when they are needed."""

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
        """`v_P` without its parts along the basis."""
        for _ in range(2):  # once leaves a part of the size of the cancellation; twice is enough (Giraud et al. 2005)
            for index, block_RP in enumerate(self._blocks):
                filled_RP = block_RP[: self._count - index * BLOCK]
                v_P = v_P - filled_RP.T @ (filled_RP @ v_P)
        return v_P

    def direction(self, generator: torch.Generator) -> Tensor:
        """A unit vector in a random direction at right angles to the basis."""
        v_P = torch.randn(self._size, generator=generator, dtype=torch.float64).to(self._device, self._dtype)
        return functional.normalize(self.orthogonalised(v_P), dim=0)
