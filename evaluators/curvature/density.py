"""Estimates the spectral density and the trace of a symmetric matrix from its products with random vectors.

The density uses stochastic Lanczos quadrature (Ghorbani et al., ICML 2019, section 2; Golub and Meurant 2010, ch. 6).
The trace uses Hutchinson's estimator (Commun. Stat. 19, 1990).
Legend: M nodes, G grid points, P parameters, S probes.
"""

import math
from itertools import islice

import torch
from torch import Tensor

from evaluators.curvature.lanczos import Matvec, krylov

TAIL = 5.0
"""How many standard deviations the grid extends beyond the outermost nodes. 3e-7 of a Gaussian lies outside it."""
POINTS = 4
"""The approximate number of grid points per standard deviation.

Sums over the grid then equal integrals up to rounding.
"""


def quadrature(
    matvec: Matvec, size: int, generator: torch.Generator, steps: int, dtype: torch.dtype, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Returns nodes theta and weights w `[M]` with sum(w f(theta)) = v' f(H) v for polynomials f up to degree 2M - 1.

    v is a Gaussian vector normalised to length 1, so that the expectation over v is tr f(H) / P. M is `steps`, or less
    if the Krylov space closes; the nodes are then exact for every f.
    """
    for space in islice(krylov(matvec, size, generator, dtype, device), steps):
        if space.beta == 0:
            break
    nodes_M, vectors_MM = torch.linalg.eigh(space.tridiagonal_MM)
    return nodes_M, vectors_MM[0].square()


def broadened(nodes_M: Tensor, weights_M: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Returns grid and density `[G]`, the sum of a Gaussian of mass `weights_M` at every node.

    The standard deviation is `width` times the range of the nodes.
    """
    low, high = float(nodes_M.min()), float(nodes_M.max())
    size = max(abs(low), abs(high))
    sigma = width * (high - low if high - low > 1e-6 * size else size or 1.0)  # equal nodes differ by rounding
    low, high = low - TAIL * sigma, high + TAIL * sigma
    grid_G = torch.linspace(low, high, round(POINTS * (high - low) / sigma) + 1, dtype=torch.float64)
    kernels_GM = torch.exp(-0.5 * ((grid_G[:, None] - nodes_M) / sigma).square()) / (sigma * math.sqrt(2 * math.pi))
    return grid_G, kernels_GM @ weights_M


def hutchinson(
    matvec: Matvec, size: int, generator: torch.Generator, probes: int, dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """Returns independent unbiased estimates z'Hz `[S]` of tr H from vectors z of random signs.

    The estimates are exact for a diagonal H.
    """
    estimates = []
    for _ in range(probes):
        signs_P = torch.randint(0, 2, (size,), generator=generator, dtype=torch.int8) * 2 - 1
        z_P = signs_P.to(device, dtype)
        estimates.append(float(z_P @ matvec(z_P)))
    return torch.tensor(estimates, dtype=torch.float64)
