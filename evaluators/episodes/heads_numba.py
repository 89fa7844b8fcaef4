"""The recurrence of `heads.train`, compiled by numba for a CPU.

Episodes are trained one after another, so that each stays in the core's cache. Without numba, `train_compiled` is None.
Legend: E episodes, W ways, S support images, B images of a minibatch.
"""

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluators.episodes.sgd import SGD

try:
    from numba import njit
except ImportError:  # heads.train does the same with torch alone
    njit = None


def _train(
    gram_ESS: Any,
    start_scores_ESW: Any,
    orders_ETS: Any,
    B: int,
    lr: float,
    mu: float,
    wd: float,
    later: float,
    A_EWS: Any,
    M_WS: Any,
    z_BW: Any,
) -> float:
    E, S, W = start_scores_ESW.shape
    c = 1.0
    for e in range(E):
        G, Z0, A = gram_ESS[e], start_scores_ESW[e], A_EWS[e]
        A[:] = 0.0
        M_WS[:] = 0.0
        c, d, fresh = 1.0, 0.0, 1.0
        for order in orders_ETS[e]:
            for at in range(0, S, B):
                size = min(B, S - at)
                for b in range(0, size, 2):  # two rows share one pass over A
                    one, two = order[at + b], order[at + min(b + 1, size - 1)]
                    for w in range(W):
                        z_one, z_two = 0.0, 0.0
                        for i in range(S):
                            z_one += G[one, i] * A[w, i]
                            z_two += G[two, i] * A[w, i]
                        z_BW[b, w] = z_one + c * Z0[one, w]
                        z_BW[b + 1, w] = z_two + c * Z0[two, w]
                decay = fresh * wd
                for w in range(W):
                    for i in range(S):
                        M_WS[w, i] = mu * M_WS[w, i] + decay * A[w, i]
                        A[w, i] -= lr * M_WS[w, i]
                d = mu * d + decay * c
                c -= lr * d
                for b in range(size):
                    row = order[at + b]
                    top, total = -math.inf, 0.0
                    for w in range(W):
                        top = max(top, z_BW[b, w])
                    for w in range(W):
                        z_BW[b, w] = math.exp(z_BW[b, w] - top)
                        total += z_BW[b, w]
                    for w in range(W):
                        right = 1.0 if w == row // (S // W) else 0.0
                        slope = fresh / size * (z_BW[b, w] / total - right)
                        M_WS[w, row] += slope
                        A[w, row] -= lr * slope
                fresh = later
    return c


def _wrapped() -> "Callable[[Tensor, Tensor, Tensor, SGD], tuple[Tensor, float]]":
    # sums may be reordered and fused, which changes only rounding; infinities and NaN keep their meaning
    kernel = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")(_train)

    def train_compiled(
        gram_ESS: Tensor, start_scores_ESW: Tensor, orders_ETS: Tensor, settings: "SGD"
    ) -> tuple[Tensor, float]:
        """Returns A `[E, S, W]` and c like `heads.train`, for float64 tensors on the CPU."""
        E, S, W = start_scores_ESW.shape
        A_EWS, M_WS = gram_ESS.new_empty(E, W, S), gram_ESS.new_empty(W, S)
        z_BW = gram_ESS.new_empty(settings.batch_size + 1, W)
        later = 1 - settings.dampening if settings.momentum else 1.0
        numbers = settings.batch_size, settings.lr, settings.momentum, settings.weight_decay, later
        inputs = (each.contiguous().numpy() for each in (gram_ESS, start_scores_ESW, orders_ETS))
        c = kernel(*inputs, *numbers, *(each.numpy() for each in (A_EWS, M_WS, z_BW)))
        return A_EWS.mT, c

    return train_compiled


train_compiled = _wrapped() if njit is not None else None
