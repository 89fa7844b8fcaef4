"""Few-shot Linear: all heads of 600 episodes at once, and the whole job, against one plain loop per episode.

`python -m benchmarks.few_shot_linear [--quick] [--device cuda]` needs torch, torchvision, numpy and pydantic; with
numba the compiled recurrence is measured too.

Heads: 5-way, 15 queries, D = 2048, 1, 5, 20 and 50 shots, 600 episodes of each. The plain loop is torch.optim.SGD on a
torch.nn.Linear in float64, timed on a few episodes and scaled to 600. Our side is timed on 600 episodes (with --quick
on fewer, and scaled) with everything that follows the features: episodes, starts, orders, Gram matrices, recurrence and
scores. The sides take turns. Scores of the same episodes must agree to 1e-10 and accuracies exactly.

Whole job: ResNet-50 at 64 px on a target of 10,000 images, all four numbers of shots. The plain loop passes the images
of each episode through the network (NCHW, unfolded BatchNorm) and then trains the head; our side passes each image of
the target once. Both rates are measured on some images and scaled, and the sum of heads and images is compared.

Times are CPU seconds of one thread, which depend least on the load of the machine, or on a GPU wall seconds around a
synchronisation.
"""

import statistics
import sys

import torch
from torch import Tensor, nn

from benchmarks.options import read_options
from benchmarks.report import print_result
from benchmarks.timing import timed
from evaluators.episodes import heads, heads_numba
from evaluators.episodes.ledger import Ledger, draw
from evaluators.features.extraction import PENULTIMATE, outputs, prepared
from evaluators.few_shot import FewShot, pieces
from trainer.core.data import Dataset, Split
from trainer.core.determinism import pin_precision
from trainer.core.models import ImageNetResNet, build

SHOTS, EPISODES, D, TARGET_IMAGES = (1, 5, 20, 50), 600, 2048, 10_000
FLOORS = {"torch": 30.0, "numba": 50.0}
JOB_FLOOR = 45.0
SCORES, FEATURES = 1e-10, 1e-4
PLAIN = {1: 12, 5: 6, 20: 2, 50: 1}
"""The number of episodes of the plain loop in one turn of a quick run."""


def main() -> int:
    """Returns 1 if scores differ or a ratio is below its floor, else 0."""
    options = read_options("few_shot_linear", __doc__)
    pin_precision("fp32")
    device = torch.device(options.device)
    kernels: dict[str, heads.Recurrence] = {"torch": heads.train}
    if device.type == "cpu" and heads_numba.train_compiled is not None:
        kernels["numba"] = heads_numba.train_compiled
    totals, error, equal = _heads(device, kernels, options.quick)
    ratios = {name: totals["plain"] / totals[name] for name in kernels}
    fastest = max(kernels, key=ratios.__getitem__)
    job_ratio, feature_error = _job(device, totals["plain"], totals[fastest], 32 if options.quick else 256)
    print_result("few_shot_linear", ratios[fastest], FLOORS[fastest], error, device)
    same = equal and error < SCORES and feature_error < FEATURES
    return 0 if same and job_ratio >= JOB_FLOOR and all(ratios[name] >= FLOORS[name] for name in kernels) else 1


def _heads(
    device: torch.device, kernels: dict[str, heads.Recurrence], quick: bool
) -> tuple[dict[str, float], float, bool]:
    """Returns the seconds for 600 episodes of each number of shots by name, the largest difference of a score, and
    whether all predictions are equal."""
    random = torch.Generator().manual_seed(0)
    features_ND = (torch.randn(4000, D, generator=random).relu() / 2).to(device)
    labels_N = torch.arange(8).repeat_interleave(500)
    error, equal = 0.0, True
    table: dict[str, list[float]] = {name: [] for name in ("plain", *kernels)}
    for shots in SHOTS:
        spec = FewShot(targets=("any",), shots=(shots,), episodes=EPISODES // 10 if quick else EPISODES)
        ledger = draw("any", labels_N, spec.ways, shots, spec.queries, spec.episodes, spec.seed)
        plain = PLAIN[shots] * (1 if quick else 3)
        spent: dict[str, list[float]] = {name: [] for name in table}
        _plain(
            features_ND, ledger, spec.model_copy(update={"epochs": 1}), 0
        )  # what is made once is made before the clock runs
        for kernel in kernels.values():
            _ours(features_ND, labels_N, spec.model_copy(update={"episodes": 1, "epochs": 1}), kernel)
        for _ in range(1 if quick else 3):
            loops, seconds = timed(device, lambda: [_plain(features_ND, ledger, spec, e) for e in range(plain)])  # noqa: B023
            expected = torch.stack(loops)
            spent["plain"].append(seconds / plain * EPISODES)
            for name, kernel in kernels.items():
                found, seconds = timed(device, lambda: _ours(features_ND, labels_N, spec, kernel))  # noqa: B023
                spent[name].append(seconds / spec.episodes * EPISODES)
                error = max(error, float((found[:plain] - expected).abs().max()))
                equal &= torch.equal(found[:plain].argmax(-1), expected.argmax(-1))
        for name, each in spent.items():
            table[name].append(statistics.median(each))
    totals = {name: sum(row) for name, row in table.items()}
    print(
        f"{'600 episodes, s':16}"
        + "".join(f"{f'{shots}-shot':>10}" for shots in SHOTS)
        + f"{'all':>10}{'ratio':>8}{'floor':>8}"
    )
    for name, row in table.items():
        ratio = f"{totals['plain'] / totals[name]:8.1f}{FLOORS[name]:8.0f}" if name in FLOORS else ""
        print(f"{name:16}" + "".join(f"{seconds:10.2f}" for seconds in row) + f"{totals[name]:10.2f}{ratio}")
    print(f"largest difference of a score {error:.1e}; predictions {'equal' if equal else 'NOT EQUAL'}\n")
    return totals, error, equal


def _job(device: torch.device, plain_heads: float, our_heads: float, images: int) -> tuple[float, float]:
    """Returns the ratio of the whole jobs and the largest difference of features relative to their size."""
    loop_image, our_image, preparing, error = _image_seconds(device, images)
    passes = sum(EPISODES * 5 * (shots + 15) for shots in SHOTS)
    plain, ours = passes * loop_image + plain_heads, preparing + TARGET_IMAGES * our_image + our_heads
    print(f"{'whole job':16}{'images':>10}{'ms each':>10}{'heads, s':>10}{'all, s':>10}{'ratio':>8}{'floor':>8}")
    print(f"{'plain':16}{passes:10,}{loop_image * 1e3:10.2f}{plain_heads:10.1f}{plain:10.0f}")
    print(
        f"{'ours':16}{TARGET_IMAGES:10,}{our_image * 1e3:10.2f}{our_heads:10.1f}{ours:10.0f}"
        f"{plain / ours:8.1f}{JOB_FLOOR:8.0f}"
    )
    print(f"scaled from samples; features differ by {error:.1e} of their size\n")
    return plain / ours, error


def _ours(features_ND: Tensor, labels_N: Tensor, spec: FewShot, kernel: heads.Recurrence) -> Tensor:
    """Returns the query scores `[E, Q, W]`, with everything that is done after the features."""
    ledger = draw("any", labels_N, spec.ways, spec.shots[0], spec.queries, spec.episodes, spec.seed)
    scores = []
    size = heads.chunk(ledger.support_ES.shape[1], D, spec.ways, spec.epochs, features_ND.device)
    for indices, support_ES, query_EQ in pieces(ledger, size):
        starts_EDW, orders_ETS = spec.draw_heads(D, ledger, indices)
        scores.append(heads.query_scores(features_ND, support_ES, query_EQ, starts_EDW, orders_ETS, spec, kernel))
    return torch.cat(scores)


def _plain(features_ND: Tensor, ledger: Ledger, spec: FewShot, episode: int) -> Tensor:
    """Returns the query scores `[Q, W]` of one episode by a loop over minibatches."""
    start_DW, order_TS = (drawn.to(features_ND.device) for drawn in spec.draw_head(D, "any", spec.shots[0], episode))
    support_SD = features_ND[ledger.support_ES[episode]].double()
    head = nn.Linear(D, spec.ways, device=features_ND.device, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(start_DW[:-1].T)
        head.bias.copy_(start_DW[-1])
    labels_S = torch.arange(spec.ways, device=features_ND.device).repeat_interleave(spec.shots[0])
    objective = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        head.parameters(), spec.lr, spec.momentum, spec.dampening, weight_decay=spec.weight_decay
    )
    for order_S in order_TS:
        for rows_B in torch.split(order_S, spec.batch_size):
            optimizer.zero_grad()
            objective(head(support_SD[rows_B]), labels_S[rows_B]).backward()
            optimizer.step()
    with torch.no_grad():
        scores_QW: Tensor = head(features_ND[ledger.query_EQ[episode]].double())
    return scores_QW


def _image_seconds(device: torch.device, n: int) -> tuple[float, float, float, float]:
    """Returns the seconds per image of the plain forward pass and of ours, the seconds of our folding, and the largest
    difference of features relative to their size."""
    model = build(ImageNetResNet(name="resnet50"), classes=200, seed=0).to(device)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():  # statistics that fit the weights
        model.train()(torch.randn(32, 3, 64, 64, generator=random).to(device))
    model.eval()
    split = Split(
        torch.randint(0, 256, (n, 3, 64, 64), dtype=torch.uint8, generator=random), torch.zeros(n, dtype=torch.int64)
    )
    data = Dataset(
        "random",
        ("only",),
        split,
        split,
        (0.5, 0.5, 0.5),
        (0.25, 0.25, 0.25),
    )

    def plain() -> Tensor:
        kept: list[Tensor] = []
        handle = model.get_submodule("fc").register_forward_pre_hook(lambda _, arguments: kept.append(arguments[0]))
        with torch.no_grad():
            for images_NCHW in torch.split(split.images_NCHW, 64):
                model(data.floats(images_NCHW.to(device)))
        handle.remove()
        return torch.cat(kept)

    network, preparing = timed(device, lambda: prepared(model, (PENULTIMATE,), "exact"))
    spent: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(3):
        expected, seconds = timed(device, plain)
        spent["plain"].append(seconds / n)
        found, seconds = timed(
            device, lambda: outputs(network, data, split.images_NCHW, (PENULTIMATE,), "none", "exact")
        )
        spent["ours"].append(seconds / n)
    error = float((found[PENULTIMATE] - expected).norm() / expected.norm())
    return statistics.median(spent["plain"]), statistics.median(spent["ours"]), preparing, error


if __name__ == "__main__":
    sys.exit(main())
