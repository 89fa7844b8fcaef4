"""Trains the linear heads of many few-shot episodes at once, in the dual (CD-FSL, Guo et al. 2020; protocols 7.2).

Legend: E episodes, W ways, S support images, Q query images, D features, T epochs, B a minibatch.

Each gradient is a linear combination of support rows plus weight decay. Starting from W_0, the weights of
torch.optim.SGD on mean cross-entropy therefore stay W_t = c_t W_0 + X^T A_t, and its momentum buffer stays
d_t W_0 + X^T M_t. X are the support features, A and M are `[S, W]`, and all episodes share the scalars c and d. The
scores of the support are c_t Z_0 + G A_t with Z_0 = X W_0 and the Gram matrix G = X X^T, so a step costs S instead of D
operations per support image. One step on the rows r of a minibatch, with f = 1 on the very first step and
f = 1 - dampening after it, is

    Y = softmax(z_r) - onehot_r,  M <- mu M + f wd A,  M_r += f/B Y,  d <- mu d + f wd c,  A <- A - lr M,  c <- c - lr d

Bias and weights have the same decay, so a constant feature 1 carries the bias: it adds 1 to G and the bias to Z_0.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from evaluators.episodes.heads_numba import train_compiled
from evaluators.episodes.sgd import SGD

CPU_BYTES, GPU_BYTES = 16 * 2**20, 2 * 2**30
"""The size of the data that is processed together: what fits into the last-level cache, and what a GPU can spare."""
Recurrence = Callable[[Tensor, Tensor, Tensor, SGD], tuple[Tensor, float]]


def chunk(support: int, features: int, ways: int, epochs: int, device: torch.device) -> int:
    """Returns how many episodes of `support` images to train together."""
    numbers = support * support + 2 * (features + 1) * ways + epochs * support  # Gram matrix, heads, orders
    return max(1, (CPU_BYTES if device.type == "cpu" else GPU_BYTES) // (8 * numbers))


def query_scores(
    features_ND: Tensor,
    support_ES: Tensor,
    query_EQ: Tensor,
    start_EDW: Tensor,
    orders_ETS: Tensor,
    settings: SGD,
    recurrence: Recurrence | None = None,
) -> Tensor:
    """Returns the float64 query scores `[E, Q, W]` of heads trained by torch.optim.SGD on mean cross-entropy.

    `support` and `query` are rows of `features`, the support class after class. `start` holds the heads' weights with
    the bias as the last row, and `orders` a permutation of the support per epoch. The default `recurrence` is the
    compiled one on a CPU, if numba is installed, and `train` otherwise. The result is on the device of `features`.
    """
    device, (E, S), W = features_ND.device, support_ES.shape, start_EDW.shape[2]
    support_ES, query_EQ, start_EDW, orders_ETS = (
        each.to(device) for each in (support_ES, query_EQ, start_EDW, orders_ETS)
    )
    gram_ESS, scores_ESW = start_EDW.new_empty(E, S, S), start_EDW.new_empty(E, S, W)
    for e in range(E):
        x_SD = features_ND[support_ES[e]].double()
        _gram(x_SD, gram_ESS[e])
        torch.addmm(start_EDW[e, -1], x_SD, start_EDW[e, :-1], out=scores_ESW[e])
    compiled = train_compiled if device.type == "cpu" else None
    A_ESW, c = (recurrence or compiled or train)(gram_ESS, scores_ESW, orders_ETS, settings)
    scores_EQW = start_EDW.new_empty(*query_EQ.shape, W)
    for e in range(E):
        weight_DW = torch.addmm(start_EDW[e, :-1], features_ND[support_ES[e]].double().T, A_ESW[e], beta=c)
        bias_W = c * start_EDW[e, -1] + A_ESW[e].sum(0)
        torch.addmm(bias_W, features_ND[query_EQ[e]].double(), weight_DW, out=scores_EQW[e])
    return scores_EQW


def train(gram_ESS: Tensor, start_scores_ESW: Tensor, orders_ETS: Tensor, settings: SGD) -> tuple[Tensor, float]:
    """Returns A `[E, S, W]` and c after the epochs of `orders`, in the dtype of `gram`."""
    E, S, W = start_scores_ESW.shape
    first_row_E1 = torch.arange(E, device=gram_ESS.device)[:, None] * S
    onehot_SW = torch.eye(W, dtype=gram_ESS.dtype, device=gram_ESS.device).repeat_interleave(S // W, 0)
    gram_RS, start_scores_RW = gram_ESS.flatten(0, 1), start_scores_ESW.flatten(0, 1)
    A_ESW, M_ESW, c, d = torch.zeros_like(start_scores_ESW), torch.zeros_like(start_scores_ESW), 1.0, 0.0
    fresh, later = momenta(settings)
    for order_ES in orders_ETS.unbind(1):
        rows_ES = order_ES + first_row_E1
        start_ESW = start_scores_RW.index_select(0, rows_ES.flatten()).view(E, S, W)
        onehot_ESW = onehot_SW[order_ES]
        for at in range(0, S, settings.batch_size):
            now = slice(at, at + settings.batch_size)
            rows_M = rows_ES[:, now].flatten()  # copying whole rows is faster than gathering
            gram_EBS = gram_RS.index_select(0, rows_M).view(E, -1, S)
            z_EBW = torch.baddbmm(start_ESW[:, now], gram_EBS, A_ESW, beta=c)
            slope_EBW = (z_EBW.softmax(-1) - onehot_ESW[:, now]).mul_(fresh / z_EBW.shape[1])
            M_ESW.mul_(settings.momentum).add_(A_ESW, alpha=fresh * settings.weight_decay)
            M_ESW.view(-1, W).index_add_(0, rows_M, slope_EBW.view(-1, W))
            d = settings.momentum * d + fresh * settings.weight_decay * c
            A_ESW.sub_(M_ESW, alpha=settings.lr)
            c -= settings.lr * d
            fresh = later
    return A_ESW, c


def momenta(settings: SGD) -> tuple[float, float]:
    """Returns the factor f of a gradient on the first step and on later steps.

    PyTorch initialises the momentum buffer with the undampened gradient, and keeps no buffer without momentum.
    """
    return 1.0, 1 - settings.dampening if settings.momentum else 1.0


def _gram(x_SD: Tensor, out_SS: Tensor) -> None:
    """Writes X X^T + 1 into `out`. The upper part is copied from the lower one."""
    S = len(x_SD)
    step = max(32, -(-S // 4))
    for low in range(0, S, step):
        rows, known = slice(low, min(low + step, S)), slice(0, low)
        torch.mm(x_SD[rows], x_SD[: rows.stop].T, out=out_SS[rows, : rows.stop])
        out_SS[known, rows] = out_SS[rows, known].T
    out_SS.add_(1)
