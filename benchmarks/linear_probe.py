"""The linear probe against a plain loop of the same protocol: ResNet-50, 64 px, 102 classes, 3 rates x 120 epochs.

`python -m benchmarks.linear_probe [--quick] [--device cuda]` needs torch, torchvision, numpy and pydantic alone.

The plain loop consists of three separate runs. In each, every epoch runs the frozen network (eval mode, NCHW, batch 32,
images as normalised floats) under torch.optim.SGD on its head, and evaluates as many test images as there are training
images. It is timed on a SAMPLE of batches and scaled to all epochs. Our side is `LinearProbe.run` from uint8 images to
scores, timed as a whole. Both sides also perform the unbiased selection: a second training on 80 % of the training
images, which is evaluated on the other 20 % after every epoch. The rows without it, and without any evaluation, are
composed of our parts. The sides take turns and are timed on one thread in seconds of CPU time, or on a GPU in seconds
of wall time; the medians count. The floor is for the whole job.

Results must be equal: float64 heads to those of three runs of torch.optim.SGD on the same features, with the same hits
after each epoch, and float32 features to those of the plain network. Heads are compared on features of moderate size.
At rate 0.1 large features make SGD chaotic: even two plain runs that start 1e-15 apart soon differ by 1e-7.

Legend: N images, C classes, D features, R learning rates, B a minibatch.
"""

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.options import read_options
from benchmarks.report import print_result
from benchmarks.timing import timed
from evaluators.features.bank import Bank
from evaluators.linear_probe import HELD_OUT, LinearProbe, hits, train_heads
from trainer.core.data import Dataset, Split
from trainer.core.determinism import pin_precision
from trainer.core.seeding import generator

CLASSES, PIXELS, BATCH = 102, 64, 32
SPEC = LinearProbe(targets=("benchmark",))
RATES, EPOCHS = SPEC.learning_rates, SPEC.epochs
FLOOR, GPU_FLOOR = 250.0, 20.0
"""The least ratio on a CPU and on a GPU.

The GPU's follows from arithmetic; an H100 reached 201, and 127 with `--quick`.
"""
HEADS_ERROR, FEATURES_ERROR = 1e-12, 1e-4
"""The largest absolute error of a float64 weight, and the largest float32 error relative to the largest feature."""
MODERATE = 200.0
"""The mean squared norm of the features on which heads are compared."""


def main() -> int:
    """Returns 1 if results are unequal or a ratio is below its floor, else 0."""
    options = read_options("linear_probe", __doc__)
    pin_precision("fp32")
    torch.manual_seed(0)  # for the plain loop; our side never draws from the global generator
    device = torch.device(options.device)
    images, rounds, batches, epochs = (306, 3, 6, 12) if options.quick else (2040, 5, 16, 120)
    dataset, network = random_data(images), frozen_network(device)

    ratio = table(network, dataset, device, rounds, batches)
    features_error, heads_error, same_hits = differences(network, dataset, epochs)
    floor = FLOOR if device.type == "cpu" else GPU_FLOOR
    print_result("linear_probe", ratio, floor, heads_error, device)
    equal = same_hits and heads_error <= HEADS_ERROR and features_error <= FEATURES_ERROR
    return int(not equal or ratio < floor)


def table(network: nn.Module, dataset: Dataset, device: torch.device, rounds: int, batches: int) -> float:
    """Times both sides, prints the table, and returns the ratio of the whole job."""
    bank, N, share, some = Bank(), len(dataset.train), batches * BATCH, 4
    few_NCHW = dataset.floats(dataset.train.images_NCHW[:share]).to(device)
    few_N = dataset.train.labels_N[:share].to(device)
    x_ND, labels_N = with_constant(bank.features(network, dataset, dataset.train)), dataset.train.labels_N.to(device)
    start_CD = torch.randn(CLASSES, x_ND.shape[1], generator=generator(0, "init")).to(device) / 64
    orders = [torch.randperm(N, generator=generator(0, "order", epoch)) for epoch in range(some)]
    runs = cycle([plain_run(network, few_NCHW, few_N, rate) for rate in RATES])
    turns: dict[str, Callable[[], object]] = {
        "plain batches": lambda: list(islice(next(runs), batches)),
        "plain evaluated": lambda: plain_evaluated(network, few_NCHW, few_N),
        "plain forward": lambda: plain_features(network, few_NCHW),
        "our features": lambda: bank.features(network, dataset, dataset.train),
        "bf16 features": lambda: bank.features(network, dataset, dataset.train, "bf16"),
        "plain heads": lambda: [list(plain_heads(x_ND, labels_N, start_CD, orders, rate)) for rate in RATES],
        "our heads": lambda: list(train_heads(x_ND, labels_N, start_CD, orders, SPEC)),
        "our evaluation": lambda: [hits(start_CD.repeat(len(RATES), 1, 1), x_ND, labels_N) for _ in orders],
        "our job": lambda: SPEC.run(network, dataset, dataset),
    }
    s = {name: statistics.median(each) for name, each in interleaved(turns, rounds, device).items()}

    passes = len(RATES) * EPOCHS * N
    train, evaluate = s["plain batches"] / share, s["plain evaluated"] / share
    heads, our_heads, our_evaluation = (
        s[name] * EPOCHS / some for name in ("plain heads", "our heads", "our evaluation")
    )
    forward, features = s["plain forward"] / share * N, s["our features"]
    unbiased = passes * ((1 - HELD_OUT) * train + HELD_OUT * evaluate) + N * evaluate
    rows = {
        "whole job, LinearProbe.run": (passes * (train + evaluate) + unbiased, s["our job"]),
        "  without the unbiased selection": (passes * (train + evaluate), 2 * features + our_heads + our_evaluation),
        "  training alone, nothing evaluated": (passes * train, features + our_heads),
        "heads alone, on given features": (heads, our_heads),
        "extraction alone, one pass": (forward, features),
        "extraction in bf16 (NOT equivalent)": (forward, s["bf16 features"]),
    }
    print(
        f"{N} training and {N} test images, {len(RATES)} x {EPOCHS} epochs; plain: {batches} batches of {BATCH}, scaled"
    )
    print(f"{'seconds':<38}{'plain':>10}{'ours':>10}{'ratio':>9}")
    for name, (plain, ours) in rows.items():
        print(f"{name:<38}{plain:>10.1f}{ours:>10.2f}{plain / ours:>9.1f}")
    return rows["whole job, LinearProbe.run"][0] / s["our job"]


def differences(network: nn.Module, dataset: Dataset, epochs: int) -> tuple[float, float, bool]:
    """Returns the largest relative difference of a feature, the largest difference of a float64 weight, and whether all
    hits are equal."""
    found_ND = Bank().features(network, dataset, dataset.train)
    plain_ND = plain_features(network, dataset.floats(dataset.train.images_NCHW).to(found_ND.device))
    features_error = float((found_ND - plain_ND).abs().max() / plain_ND.abs().max())

    scaled_ND = found_ND.double() * (MODERATE / float(found_ND.square().sum(1).mean())) ** 0.5
    x_ND, labels_N = with_constant(scaled_ND), dataset.train.labels_N.to(found_ND.device)
    start_CD = torch.randn(CLASSES, x_ND.shape[1], dtype=torch.float64, generator=generator(0, "init")).to(x_ND) / 64
    orders = [torch.randperm(len(x_ND), generator=generator(0, "order", epoch)) for epoch in range(epochs)]
    plain = zip(*(plain_heads(x_ND, labels_N, start_CD, orders, rate) for rate in RATES), strict=True)
    ours = train_heads(x_ND, labels_N, start_CD, orders, SPEC)
    in_float32 = train_heads(x_ND.float(), labels_N, start_CD.float(), orders, SPEC)
    heads_error, same_hits, rounding = 0.0, True, 0
    for of_plain, heads_RCD, floats_RCD in zip(plain, ours, in_float32, strict=True):
        plain_RCD = torch.stack(of_plain)
        heads_error = max(heads_error, float((heads_RCD - plain_RCD).abs().max()))
        right_R = hits(heads_RCD, x_ND, labels_N)
        same_hits &= torch.equal(
            right_R, (torch.einsum("nd,rcd->nrc", x_ND, plain_RCD).argmax(2) == labels_N[:, None]).sum(0)
        )
        rounding = max(rounding, int((hits(floats_RCD, x_ND.float(), labels_N) - right_R).abs().max()))
    print(f"largest difference over {epochs} epochs of a float64 weight: {heads_error:.1e}; the same hits: {same_hits}")
    print(f"largest relative difference of a float32 feature: {features_error:.1e}")
    print(
        f"float32 heads: up to {rounding} of {len(x_ND)} hits from those in float64, over all epochs and learning rates"
    )
    return features_error, heads_error, same_hits


def plain_run(network: nn.Module, images_NCHW: Tensor, labels_N: Tensor, lr: float) -> Iterator[float]:
    """Trains without end at one learning rate and yields the loss of each batch."""
    head, optimizer = plain_head(network.get_parameter("fc.weight").shape[1], lr, images_NCHW)
    for images_BCHW, labels_B in cycle(zip(torch.split(images_NCHW, BATCH), torch.split(labels_N, BATCH), strict=True)):
        optimizer.zero_grad()
        loss = functional.cross_entropy(head(plain_features(network, images_BCHW)), labels_B)
        torch.autograd.backward(loss)
        optimizer.step()
        yield loss.item()


def plain_evaluated(network: nn.Module, images_NCHW: Tensor, labels_N: Tensor) -> int:
    """Returns the number of hits, computed batch by batch. The network's own fc replaces the head."""
    found = 0
    with torch.no_grad():
        for images_BCHW, labels_B in zip(torch.split(images_NCHW, BATCH), torch.split(labels_N, BATCH), strict=True):
            found += int((network(images_BCHW).argmax(1) == labels_B).sum())
    return found


def plain_features(network: nn.Module, images_NCHW: Tensor) -> Tensor:
    """Returns the features `[N, D]` before fc, computed in batches."""
    before_fc = nn.Sequential(*list(network.children())[:-1])
    with torch.no_grad():
        return torch.cat([before_fc(images_BCHW).flatten(1) for images_BCHW in torch.split(images_NCHW, BATCH)])


def plain_heads(x_ND: Tensor, labels_N: Tensor, start_CD: Tensor, orders: list[Tensor], lr: float) -> Iterator[Tensor]:
    """Yields after each epoch of torch.optim.SGD the head `[C, D]` with its bias as the last column."""
    head, optimizer = plain_head(x_ND.shape[1] - 1, lr, x_ND)
    features_ND = x_ND[:, :-1].contiguous()
    with torch.no_grad():
        head.weight.copy_(start_CD[:, :-1])
        head.bias.copy_(start_CD[:, -1])
    for order_N in orders:
        for rows_B in torch.split(order_N.to(x_ND.device), BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(head(features_ND[rows_B]), labels_N[rows_B]))
            optimizer.step()
        yield torch.cat([head.weight, head.bias[:, None]], 1).detach()


def plain_head(features: int, lr: float, like: Tensor) -> tuple[nn.Linear, torch.optim.SGD]:
    """Returns an optimizer with the recipe of the protocol at one learning rate."""
    head = nn.Linear(features, CLASSES).to(like)
    return head, torch.optim.SGD(head.parameters(), lr, momentum=SPEC.momentum, weight_decay=SPEC.weight_decay)


def interleaved(turns: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Runs the actions in turn in every round and returns the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, action in turns.items():
            seconds[name].append(timed(device, action)[1])
    return seconds


def with_constant(features_ND: Tensor) -> Tensor:
    """Appends the constant feature 1 that carries the bias."""
    return torch.cat([features_ND, features_ND.new_ones(len(features_ND), 1)], 1)


def frozen_network(device: torch.device) -> nn.Module:
    """Returns a ResNet-50 with random weights, and with statistics of the data so that features have a usual size."""
    network: Any = torchvision.models.resnet50(num_classes=CLASSES)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # of one batch, the statistics are its own
    with torch.no_grad():
        some = random_data(128)
        network.train()(some.floats(some.train.images_NCHW))
    frozen: nn.Module = network.eval().requires_grad_(False).to(device)
    return frozen


def random_data(count: int) -> Dataset:
    """Returns images of smooth colours, half a pattern of the class and half noise, on the CPU."""
    random = generator(0, "data")
    patterns_CCHW = torch.rand(CLASSES, 3, 8, 8, generator=random)
    labels_N = torch.arange(count) % CLASSES

    def split() -> Split:
        coarse_NCHW = (patterns_CCHW[labels_N] + torch.rand(count, 3, 8, 8, generator=random)) / 2
        return Split(functional.interpolate(coarse_NCHW, size=PIXELS, mode="bilinear").mul(255).byte(), labels_N)

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return Dataset(
        "benchmark",
        tuple(map(str, range(CLASSES))),
        split(),
        split(),
        mean,
        std,
    )


if __name__ == "__main__":
    sys.exit(main())
