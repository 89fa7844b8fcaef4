"""Finds the k nearest of many streamed points and lets them vote (protocols 7.4, performance 5).

Legend: Q queries, S points of one block, D coordinates, E coordinates with the norms appended, k neighbours, T queries
of one product, R of those whose neighbours may change, P measured pairs of a query and a point, N pairs of one query,
C classes.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Search = Literal["exact", "rerank"]
Ties = Literal["smaller-distance", "lowest-label"]
BLOCK = 4096
"""The number of points in one matrix product."""
CACHE, MEMORY = 2**18, 2**25
"""How many numbers are processed at once, on a CPU and on other devices."""


class Nearest:
    """The k points nearest to each query `[Q, D]` by L2 distance among those added so far.

    Of points at equal distance the earlier ones are kept. A matrix product gives all distances up to rounding. Points
    that may be among the nearest are then measured one by one, as the float64 norm of q - s (float32 points are centred
    first). Neighbours and distances therefore equal those of a plain loop, however the points are divided into blocks.

    The search `rerank` multiplies in bfloat16 and measures the 3k + 1 nearest points of each block. Its rounding has no
    useful bound: that it finds the same neighbours is empirical and not guaranteed. If there are more than 3k + 1
    copies of a point, it may keep any of them.
    """

    def __init__(self, query_QD: Tensor, k: int, search: Search = "exact") -> None:
        # Outputs of a ReLU lie far from zero, where |q|^2 + |s|^2 - 2qs cancels. float64 has enough digits without
        # centring, which would round q - s.
        exact = search == "exact" and query_QD.dtype == torch.float64
        self._centre_D = torch.zeros_like(query_QD[0]) if exact else query_QD.mean(0)
        self._query_QD = query_QD - self._centre_D
        self._scratch = _Scratch(query_QD.device)
        product = _Exact if search == "exact" else _Rough
        self._product = product(self._query_QD, self._centre_D, k, self._scratch)
        self._seen = 0
        self.distances_Qk = query_QD.new_full((len(query_QD), k), torch.inf, dtype=torch.float64)
        """The distances in ascending order; inf where fewer than k points were added."""
        self.index_Qk = torch.full_like(self.distances_Qk, -1, dtype=torch.long)
        """The indices of these points, counted from 0 in the order in which they were added."""

    def add(self, support_SD: Tensor) -> None:
        """Compares the points `[S, D]` with all queries."""
        with _full_precision():
            for block_SD in torch.split(support_SD, BLOCK):
                self._compare(block_SD)
                self._seen += len(block_SD)

    def _compare(self, support_SD: Tensor) -> None:
        kth_Q = self.distances_Qk[:, -1].square().to(support_SD.dtype)
        limit_Q = self._product.take(support_SD, kth_Q)
        tile = max(1, 8 * self._scratch.capacity // len(support_SD))
        for at in range(0, len(kth_Q), tile):
            rows = slice(at, at + tile)
            rounded_TS = self._product.rows(rows)
            # no point is nearer than distance 0, at which every further copy would have to be measured
            open_R = ((rounded_TS.amin(1) < limit_Q[rows]) & (kth_Q[rows] > 0)).nonzero()[:, 0]
            if len(open_R):
                rounded_RS = rounded_TS if len(open_R) == len(rounded_TS) else rounded_TS[open_R]
                open_R += at
                self._merge(support_SD, open_R, *self._product.doubtful(rounded_RS, open_R, limit_Q[open_R]))

    def _merge(self, support_SD: Tensor, rows_R: Tensor, pair_R: Tensor, pair_S: Tensor) -> None:
        """Measures pairs of a query and a point and merges them into the result.

        The pairs of one query must follow each other in the order of the points.
        """
        distances_P = self._measured(support_SD, rows_R[pair_R], pair_S)
        counts_R = torch.bincount(pair_R, minlength=len(rows_R))
        place_P = torch.arange(len(pair_R), device=pair_R.device) - (counts_R.cumsum(0) - counts_R)[pair_R]
        distances_RN = distances_P.new_full((len(rows_R), int(counts_R.max())), torch.inf)
        index_RN = torch.full_like(distances_RN, -1, dtype=torch.long)
        distances_RN[pair_R, place_P] = distances_P
        index_RN[pair_R, place_P] = pair_S + self._seen
        # the sort is stable and earlier points come first, so that they win ties
        distances_RN, order_RN = torch.cat([self.distances_Qk[rows_R], distances_RN], 1).sort(dim=1, stable=True)
        order_Rk = order_RN[:, : self.distances_Qk.shape[1]]
        self.index_Qk[rows_R] = torch.cat([self.index_Qk[rows_R], index_RN], 1).gather(1, order_Rk)
        self.distances_Qk[rows_R] = distances_RN[:, : order_Rk.shape[1]]

    def _measured(self, support_SD: Tensor, query_P: Tensor, point_P: Tensor) -> Tensor:
        some = max(1, self._scratch.capacity // support_SD.shape[1])
        pieces = []
        for queries, points in zip(torch.split(query_P, some), torch.split(point_P, some), strict=True):
            shape, dtype = (len(points), support_SD.shape[1]), support_SD.dtype
            difference_PD = torch.index_select(support_SD, 0, points, out=self._scratch("points", shape, dtype))
            difference_PD -= self._centre_D
            difference_PD -= torch.index_select(self._query_QD, 0, queries, out=self._scratch("queries", shape, dtype))
            double_PD = self._scratch("double", shape, torch.float64).copy_(difference_PD)
            pieces.append(torch.linalg.vector_norm(double_PD, dim=1))
        return torch.cat(pieces)


class _Scratch:
    """Memory that is reused, because allocating fresh pages takes longer than the arithmetic on them.

    `capacity` is how many numbers should be processed at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[str, Tensor] = {}
        self.capacity = CACHE if device.type == "cpu" else MEMORY

    def __call__(self, use: str, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        if use not in self._kept or len(self._kept[use]) < shape[0] * shape[1]:
            self._kept[use] = torch.empty(shape[0] * shape[1], dtype=dtype, device=self._device)
        return self._kept[use][: shape[0] * shape[1]].view(shape)


class _Exact:
    """Computes |q - s|^2 - |q|^2 in the dtype of the points, with a bound on its rounding error."""

    def __init__(self, query_QD: Tensor, centre_D: Tensor, k: int, scratch: _Scratch) -> None:
        self._query_QD, self._centre_D, self._k, self._scratch = query_QD, centre_D, k, scratch
        self._norms_Q = _norms(query_QD)

    def take(self, support_SD: Tensor, kth_Q: Tensor) -> Tensor:
        """Takes the next block of points; returns the limits `[Q]` below which a point may be nearer than the k-th.

        `kth_Q` holds the squared distance of the k-th neighbour so far.
        """
        centred_SD = self._scratch("centred", (len(support_SD), support_SD.shape[1]), support_SD.dtype)
        self._support_SD = torch.sub(support_SD, self._centre_D, out=centred_SD)
        self._norms_S = _norms(self._support_SD)
        self._slack_Q = (
            max(16, 2 * math.sqrt(support_SD.shape[1]))
            * torch.finfo(support_SD.dtype).eps
            * (self._norms_Q + self._norms_S.max())
        )
        return kth_Q - self._norms_Q + self._slack_Q

    def rows(self, rows: slice) -> Tensor:
        """Returns the rounded values `[T, S]` of some queries."""
        query_TD = self._query_QD[rows]
        out_TS = self._scratch("rounded", (len(query_TD), len(self._norms_S)), query_TD.dtype)
        return torch.addmm(self._norms_S, query_TD, self._support_SD.T, alpha=-2, out=out_TS)

    def doubtful(self, rounded_RS: Tensor, rows_R: Tensor, limit_R: Tensor) -> tuple[Tensor, ...]:
        """Returns row and point `[P]` of all pairs that may be among the nearest, despite rounding."""
        kth_R = rounded_RS.topk(min(self._k, rounded_RS.shape[1]), largest=False).values[:, -1]
        bound_R = torch.minimum(kth_R + 2 * self._slack_Q[rows_R], limit_R)
        return (rounded_RS <= bound_R[:, None]).nonzero(as_tuple=True)


class _Rough:
    """Computes |q - s|^2 - r in bfloat16, with r near the k-th distance, so that rounding to 8 bits is finest there.

    q and s are the rounded points. The product itself adds their norms, each as three bfloat16 numbers.
    """

    SAMPLE = 64

    def __init__(self, query_QD: Tensor, centre_D: Tensor, k: int, scratch: _Scratch) -> None:
        self._query_QD, self._centre_D, self._k, self._scratch = query_QD, centre_D, k, scratch
        self._query_QE = query_QD.new_ones((len(query_QD), query_QD.shape[1] + 6), dtype=torch.bfloat16)
        self._query_QE[:, :-6] = query_QD
        self._norms_Q = _norms(self._query_QE[:, :-6])
        self._query_QE[:, :-6] *= -2

    def take(self, support_SD: Tensor, kth_Q: Tensor) -> Tensor:
        """Takes the next block of points; returns the limits `[Q]` below which a point may be nearer than the k-th.

        `kth_Q` holds the squared distance of the k-th neighbour so far.
        """
        S, D = support_SD.shape
        self._support_SE = self._scratch("rough", (S, D + 6), torch.bfloat16)
        self._support_SE[:, -3:] = 1
        norms_S, some = self._norms_Q.new_empty(S), max(1, self._scratch.capacity // D)
        for part in (slice(at, at + some) for at in range(0, S, some)):
            rough_SD = torch.sub(support_SD[part], self._centre_D, out=self._support_SE[part, :-6])
            norms_S[part] = _norms(rough_SD)
        self._support_SE[:, -6:-3] = _thirds(norms_S)
        near_Q = kth_Q
        if torch.isinf(kth_Q).any():
            sample_QS = torch.cdist(self._query_QD, support_SD[: self.SAMPLE] - self._centre_D)
            near_Q = sample_QS.topk(min(self._k, sample_QS.shape[1]), largest=False).values[:, -1].square()
        self._query_QE[:, -3:] = _thirds(self._norms_Q - near_Q)
        eps = torch.finfo(torch.bfloat16).eps
        return kth_Q - near_Q + eps / 4 * near_Q + eps**2 / 4 * (self._norms_Q + norms_S.max())

    def rows(self, rows: slice) -> Tensor:
        """Returns the rounded values `[T, S]` of some queries."""
        query_TE = self._query_QE[rows]
        out_TS = self._scratch("rounded", (len(query_TE), len(self._support_SE)), query_TE.dtype)
        return torch.mm(query_TE, self._support_SE.T, out=out_TS)

    def doubtful(self, rounded_RS: Tensor, _: Tensor, limit_R: Tensor) -> tuple[Tensor, ...]:
        """Returns row and point `[P]` of the candidates."""
        rounded_RN, index_RN = rounded_RS.topk(min(3 * self._k + 1, rounded_RS.shape[1]), largest=False, sorted=False)
        index_RN, order_RN = index_RN.sort(dim=1)
        pair_R, pair_N = (rounded_RN.gather(1, order_RN) <= limit_R[:, None]).nonzero(as_tuple=True)
        return pair_R, index_RN[pair_R, pair_N]


def knn_predict(distances_Qk: Tensor, labels_Qk: Tensor, classes: int, ties: Ties = "smaller-distance") -> Tensor:
    """Returns the majority class `[Q]`.

    A tie of votes goes to the smaller summed distance and then to the lower class, or with `lowest-label` to the lower
    class at once, as in scikit-learn's KNeighborsClassifier.
    """
    empty_QC = distances_Qk.new_zeros(len(labels_Qk), classes)
    votes_QC = empty_QC.scatter_add(1, labels_Qk, torch.ones_like(distances_Qk))
    if ties == "lowest-label":
        return votes_QC.argmax(1)  # of several largest the first
    summed_QC = empty_QC.scatter_add(1, labels_Qk, distances_Qk)
    tied_QC = votes_QC == votes_QC.amax(1, keepdim=True)
    return summed_QC.masked_fill(~tied_QC, torch.inf).argmin(1)


def _norms(points_ND: Tensor) -> Tensor:
    """Returns the squared norms `[N]`, summed in float32 if the points have fewer bits."""
    dtype = torch.promote_types(points_ND.dtype, torch.float32)
    norms_N: Tensor = torch.linalg.vector_norm(points_ND, dim=1, dtype=dtype)
    return norms_N.square()


def _thirds(values_N: Tensor) -> Tensor:
    """Returns bfloat16 numbers `[N, 3]` that add up to the float32 values."""
    high_N = values_N.bfloat16()
    rest_N = values_N - high_N
    middle_N = rest_N.bfloat16()
    return torch.stack([high_N, middle_N, (rest_N - middle_N).bfloat16()], 1)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Prevents TF32 and bfloat16 in float32 products, whatever the settings of the process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
