"""Our nearest-neighbour search against scikit-learn's brute force.

`python -m benchmarks.prediction_depth [--quick] [--device cuda]` needs scikit-learn besides what `evaluators` needs.

The task is to find the 5 nearest of 100,000 points for each of 10,000 queries (with `--quick`, of 16,384 points for
2,048 queries). Points have 2,048 float32 coordinates, clustered like a layer's outputs, and arrive in pieces of 4,096,
as from a network. The preparations of a search (centring, rounding to bfloat16, copies in float64) are part of its
time. The searches take turns on one thread with the bare float32 product, which is a lower bound unless fewer bits are
used. On a CPU they are timed in seconds of CPU time, which depends least on the load of the machine. With a GPU they
are timed by the clock, and scikit-learn runs only once, on the CPU.

`ratio` is that of the exact search. `rerank` has its own floor if the CPU multiplies bfloat16 natively; otherwise it is
not run. Both must find scikit-learn's neighbour sets wherever its 5th and 6th distances differ by more than 1e-4;
`max_error` is the share of queries for which one of them does not.

Shapes: Q queries, S points, D coordinates.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from benchmarks.options import read_options
from benchmarks.report import print_result
from benchmarks.timing import timed
from evaluators.knn import BLOCK, Nearest, Search
from trainer.core.seeding import generator

D, K, CLUSTERS = 2048, 5, 200
TIE = 1e-4
EXACT_FLOOR, RERANK_FLOOR, QUICK_RERANK_FLOOR = 1.4, 4.0, 2.5
"""The least ratios. Rounding the points to bfloat16 and measuring candidates cost relatively more with few queries."""


def main() -> int:
    """Returns 1 if neighbour sets differ or a ratio is below its floor, else 0."""
    options = read_options("prediction_depth", __doc__)
    device = torch.device(options.device)
    S, Q, rounds = (16_384, 2_048, 5) if options.quick else (100_000, 10_000, 3)
    support_SD, query_QD = clustered(S, "support"), clustered(Q, "query")
    searches: list[Search] = ["exact", "rerank"] if device.type == "cuda" or multiplies_bfloat16() else ["exact"]
    with threadpool_limits(1):
        seconds, wrong = measured(support_SD, query_QD, searches, device, rounds)
    print(f"{K} nearest of {S:,} for {Q:,} queries, {D} float32 coordinates")
    print(f"{'':<14}{'seconds':>9}{'ratio':>8}{'floor':>8}{'sets that differ':>18}")
    floors = {"exact": EXACT_FLOOR, "rerank": QUICK_RERANK_FLOOR if options.quick else RERANK_FLOOR}
    ratios = {name: seconds["scikit-learn"] / each for name, each in seconds.items()}
    for name, each in seconds.items():
        print(f"{name:<14}{each:>9.2f}{ratios[name]:>8.2f}{floors.get(name, ''):>8}{wrong.get(name, ''):>18}")
    if "rerank" not in searches:
        print("rerank was not run: this CPU has no instructions for bfloat16")
    print_result("prediction_depth", ratios["exact"], EXACT_FLOOR, max(wrong.values()) / Q, device)
    return int(any(wrong.values()) or any(ratios[name] < floors[name] for name in searches))


def measured(
    support_SD: Tensor, query_QD: Tensor, searches: list[Search], device: torch.device, rounds: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Returns the median seconds of every search and how many of its neighbour sets differ."""
    reference = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(support_SD.numpy())
    device_SD, device_QD = support_SD.to(device), query_QD.to(device)
    sets: dict[str, Tensor] = {}

    def scikit_learn() -> None:
        reference.kneighbors(query_QD.numpy())

    def product() -> None:
        for piece_SD in torch.split(device_SD, BLOCK):
            device_QD @ piece_SD.T

    def ours(search: Search) -> Callable[[], None]:
        def run() -> None:
            nearest = Nearest(device_QD, K, search)
            for piece_SD in torch.split(device_SD, BLOCK):
                nearest.add(piece_SD)
            sets[search] = nearest.index_Qk.sort(1).values.cpu()

        return run

    turns = {"scikit-learn": scikit_learn, "bare product": product} | {search: ours(search) for search in searches}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for count in range(rounds):
        for name, action in turns.items():
            if name != "scikit-learn" or device.type == "cpu" or not count:
                seconds[name].append(timed(device, action)[1])
    # one more neighbour, untimed, because the next distance shows ties
    distances_Qk, index_Qk = (torch.from_numpy(each) for each in reference.kneighbors(query_QD.numpy(), K + 1))
    distinct_Q = distances_Qk[:, K] > distances_Qk[:, K - 1] * (1 + TIE)
    expected_Qk = index_Qk[:, :K].sort(1).values
    wrong = {search: int(((found_Qk != expected_Qk).any(1) & distinct_Q).sum()) for search, found_Qk in sets.items()}
    print(f"told apart by more than {TIE:.0e}: {float(distinct_Q.double().mean()):.2%} of the queries")
    return {name: statistics.median(each) for name, each in seconds.items()}, wrong


def clustered(count: int, name: str) -> Tensor:
    """Returns points `[count, D]` around common centres, after a ReLU."""
    centres = torch.randn(CLUSTERS, D, generator=generator(0, "data", "centres"))
    random = generator(0, "data", name)
    pieces = [
        (
            centres[torch.randint(0, CLUSTERS, (rows,), generator=random)] + torch.randn(rows, D, generator=random)
        ).relu_()
        for rows in [BLOCK] * (count // BLOCK) + [count % BLOCK]
    ]
    return torch.cat(pieces)


def multiplies_bfloat16() -> bool:
    """Returns whether the CPU reports native bfloat16 products."""
    facts = Path("/proc/cpuinfo")
    words = facts.read_text().split() if facts.exists() else []
    return "avx512_bf16" in words or "amx_bf16" in words


if __name__ == "__main__":
    sys.exit(main())
