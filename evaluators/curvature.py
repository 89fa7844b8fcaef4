"""Eigenvalues of a Hessian that is never formed: double backward and Lanczos (Golub and Van Loan 2013, 10.1-10.3).

Legend: M steps so far, P parameters in one flat vector, k wanted eigenvalues.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EXTRA_STEPS = 5
"""How long all wanted values must stay converged: one that the start vector hardly holds is seen late."""


def hvp(loss: Tensor, parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """The map v -> Hv, `[P]` to `[P]`, for the Hessian H of the scalar `loss` by `parameters` in their order.

    The gradient's graph is kept as long as the map, so a product costs one backward pass through it.
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
    """The k eigenvalues of largest magnitude, largest first, and their residual norms |Hu - theta u|."""

    values_k: Tensor
    residuals_k: Tensor
    converged: bool
    steps: int


def lanczos(
    matvec: Callable[[Tensor], Tensor],
    size: int,
    k: int,
    generator: torch.Generator,
    max_steps: int = 100,
    tolerance: float = 1e-6,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Spectrum:
    """The k eigenvalues of largest magnitude of the symmetric `matvec` on vectors `[size]` of `dtype` on `device`.

    Lanczos with full reorthogonalisation from a Gaussian start. It stops once all k residuals have been at most
    `tolerance * |theta|` for EXTRA_STEPS further steps, or at `max_steps` (then `converged` is False), or when the
    basis spans the whole space, where the values are exact. Memory is `max_steps * size`. A copy of a multiple
    eigenvalue is seen only after the Krylov space has closed and a new random direction was taken.
    """
    assert 1 <= k <= size
    limit = min(max_steps, size)
    assert limit >= k, f"{max_steps} steps cannot give {k} eigenvalues"
    epsilon = torch.finfo(dtype).eps
    basis_MP = torch.empty(limit, size, dtype=dtype, device=device)
    tridiagonal = torch.zeros(limit, limit, dtype=torch.float64)

    def random_direction(step: int) -> Tensor:
        v_P: Tensor = torch.randn(size, generator=generator, dtype=torch.float64).to(device, dtype)
        v_P = _orthogonalised(v_P, basis_MP[:step])
        return functional.normalize(v_P, dim=0)

    basis_MP[0] = random_direction(0)
    calm, step, scale = 0, 0, 0.0
    while True:
        w_P = matvec(basis_MP[step])
        tridiagonal[step, step] = alpha = float(w_P @ basis_MP[step])
        w_P = _orthogonalised(w_P, basis_MP[: step + 1])
        beta = float(w_P.norm())
        scale = max(scale, abs(alpha), beta)
        step += 1
        closed = beta <= 10 * epsilon * scale  # the basis spans an invariant subspace: what is left of w is rounding
        if closed or step == size:
            beta = 0.0
        if step >= k:
            values_M, vectors_MM = torch.linalg.eigh(tridiagonal[:step, :step])
            top_k = values_M.abs().argsort(descending=True)[:k]
            values_k, residuals_k = values_M[top_k], beta * vectors_MM[-1, top_k].abs()
            # an eigenvalue that is exactly zero is known no better than rounding, hence the floor
            bounds_k = (tolerance * values_k.abs()).clamp(min=10 * epsilon * scale)
            calm = calm + 1 if bool((residuals_k <= bounds_k).all()) else 0
            converged = calm > EXTRA_STEPS or step == size
            if converged or step == limit:
                return Spectrum(values_k, residuals_k, converged, step)
        if closed:
            basis_MP[step] = random_direction(step)
        else:
            basis_MP[step] = w_P / beta
            tridiagonal[step, step - 1] = tridiagonal[step - 1, step] = beta


def _orthogonalised(v_P: Tensor, basis_MP: Tensor) -> Tensor:
    for _ in range(2):  # once leaves a part of the size of the cancellation; twice is enough (Giraud et al. 2005)
        v_P = v_P - basis_MP.T @ (basis_MP @ v_P)
    return v_P
