"""Our training step against a plain PyTorch loop, and on a GPU eager steps against graphed ones.

`python -m benchmarks.train_step [--quick] [--device cuda]` needs torch, torchvision, numpy and pydantic alone.

On a CPU: ResNet-18, 64 px, batch 32, one thread. The plain loop is NCHW over a DataLoader with PIL decoding and
`.item()` per step. Our side is `trainer.loop` over uint8 tensors in memory. They take turns, epoch by epoch, and are
timed in seconds of CPU time, which depends least on the load of the machine; ratios are those of the medians. In
float64, over the same batches, the bits must equal those of the plain loop in channels_last, as in our loop. In NCHW,
where convolutions sum in another order, all but the last few digits must be equal.

On a GPU: ResNet-50 over resident data, in steps per second between two readings of the epoch's sums, at which the host
waits for the device. The float64 comparison runs there too, with our steps graphed, and allows for rounding in both
layouts.

Shapes: B batch, C channels, H and W pixels.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.options import read_options
from benchmarks.report import print_result
from trainer import loop, spec
from trainer.batches import DataBatches
from trainer.core.data import Dataset, Split
from trainer.core.seeding import generator
from trainer.core.state import EpochRow

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS, SHIFT, BATCH, CLASSES = 64, 4, 32, 10
STEP_FLOOR, DATA_FLOOR = 1.0, 5.0
ROUNDING = 1e-12
"""The largest float64 error relative to the tensor's largest number, where sums run in another order."""
GPU_STEP_FLOOR_MS = (0.3, 0.4)
"""The bytes that a bf16 step of ResNet-50 on an H200 must move, by arithmetic."""

Batches = Iterable[tuple[Tensor, Tensor]]


def main() -> int:
    """Returns 1 if float64 results differ or a ratio is below its floor, else 0."""
    options = read_options("train_step", __doc__)
    torch.manual_seed(0)  # of the plain loop; ours never draws from the global generator
    device = torch.device(options.device)
    if device.type == "cuda":
        ratio, floor, enough = gpu(device, epochs=4 if options.quick else 12, steps=100)
    else:
        ratio, floor, enough = cpu(rounds=7 if options.quick else 15, images=160 if options.quick else 640)
    same = max_error(device, torch.channels_last)
    other = max_error(device, torch.contiguous_format)
    print(
        f"largest relative difference from the plain loop in float64: {same:.1e} in channels_last, {other:.1e} in NCHW"
    )
    print_result("train_step", ratio, floor, max(same, other), device)
    return int(not enough or other > ROUNDING or same > (0 if device.type == "cpu" else ROUNDING))


def cpu(rounds: int, images: int) -> tuple[float, float, bool]:
    """Prints the table; returns the ratio of our step to the plain one, its floor, and whether all floors are kept."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), images)
        augmented = [transforms.RandomCrop(PIXELS, padding=SHIFT), transforms.RandomHorizontalFlip()]
        floats = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        folders = torchvision.datasets.ImageFolder(folder, transforms.Compose([*augmented, *floats]))
        loader: DataLoader[Any] = DataLoader(folders, BATCH, shuffle=True)
        dataset = in_memory(torchvision.datasets.ImageFolder(folder), torch.device("cpu"))
        ours = DataBatches(dataset, BATCH)
        model, optimizer = plain(CLASSES)
        # the last epoch evaluates the network, so it is left out
        exact, bf16 = (epochs_of(settings(precision, rounds + 2), dataset) for precision in ("fp32", "bf16"))
        turns: dict[str, Callable[[], object]] = {
            "plain data": lambda: [None for _ in loader],
            "our data": lambda: [None for _ in ours.epoch(0, 0, 0, torch.float32)],
            "plain step": lambda: plain_epoch(model, optimizer, loader),
            "our step": partial(next, exact),
            "our bf16 step": partial(next, bf16),
        }
        seconds = interleaved(turns, rounds)
    per_image = {name: statistics.median(each) / images for name, each in seconds.items()}
    print(f"{'':<16}{'images/s':>10}{'ms/image':>10}{'in data':>9}{'ratio':>8}")
    for name, each in per_image.items():
        kind, side = name.split()[-1], name.split()[0]
        share = f"{per_image[f'{side} data'] / each:>9.1%}" if kind == "step" else f"{'':>9}"
        print(f"{name:<16}{1 / each:>10.0f}{1e3 * each:>10.3f}{share}{per_image[f'plain {kind}'] / each:>8.2f}")
    step, data = (per_image[f"plain {kind}"] / per_image[f"our {kind}"] for kind in ("step", "data"))
    return step, STEP_FLOOR, step >= STEP_FLOOR and data >= DATA_FLOOR


def gpu(
    device: torch.device, epochs: int, steps: int, model: str = "resnet50", pixels: int = PIXELS
) -> tuple[float, float, bool]:
    """Prints the table; returns the ratio of graphed to eager steps in bf16, its floor, and whether it is kept."""
    dataset = random_data(BATCH * steps, pixels, device)
    print(f"{'':<8}{'eager steps/s':>15}{'graphed steps/s':>17}{'ratio':>8}{'ms/step':>9}{'floor/step':>14}")
    ratio = 0.0
    for precision in ("fp32", "tf32", "bf16"):
        # the first epoch captures and the last one evaluates the network, so neither counts
        eager, graphed = (
            epochs_of(settings(precision, epochs + 2, model), dataset, graphed=each) for each in (False, True)
        )
        turns = {"eager": partial(next, eager), "graphed": partial(next, graphed)}
        seconds = interleaved(turns, epochs, time.perf_counter)
        rate = {name: steps / statistics.median(each) for name, each in seconds.items()}
        ratio = rate["graphed"] / rate["eager"]
        low, high = (f"{ms * rate['graphed'] / 1e3:.0%}" for ms in GPU_STEP_FLOOR_MS)
        share = f"{low} to {high}" if precision == "bf16" else ""
        print(
            f"{precision:<8}{rate['eager']:>15.0f}{rate['graphed']:>17.0f}{ratio:>8.2f}"
            f"{1e3 / rate['graphed']:>9.2f}{share:>14}"
        )
    return ratio, 1.0, ratio >= 1


def max_error(device: torch.device, layout: torch.memory_format, images: int = 36, batch: int = 16) -> float:
    """Returns the largest relative difference of the loss, a weight or a statistic.

    Both sides train one epoch over the same batches in float64.
    """
    dataset = random_data(images, PIXELS, device)
    one = settings("fp64", epochs=1, batch=batch)
    state = loop.start(one, CLASSES, device)
    model, optimizer = plain(CLASSES, device, torch.float64)
    model.to(memory_format=layout).load_state_dict(state.model.state_dict())
    batches = DataBatches(dataset, batch)
    given = [(images_BCHW, labels_B) for images_BCHW, labels_B, _ in batches.epoch(one.seed, 0, 0, torch.float64)]
    theirs = plain_epoch(model, optimizer, given)
    [row] = loop.train(one, state, batches)
    mean = sum(loss * len(labels_B) for loss, (_, labels_B) in zip(theirs, given, strict=True)) / images
    errors = [abs(row.metrics["train/loss"] - mean) / mean]
    for ours, other in zip(state.model.state_dict().values(), model.state_dict().values(), strict=True):
        errors.append(float((ours - other).abs().max() / other.abs().max()))
    return max(errors)


def plain(
    classes: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, Any]:
    """Returns what a simple script would train: torchvision's unchanged ResNet-18 and SGD with the recipe's numbers."""
    model = torchvision.models.resnet18(num_classes=classes).to(device=device, dtype=dtype)
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)


def plain_epoch(model: nn.Module, optimizer: torch.optim.SGD, batches: Batches) -> list[float]:
    """Runs the baseline, which trains batch by batch and reads each loss immediately."""
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses = []
    for images_BCHW, labels_B in batches:
        optimizer.zero_grad()
        loss = criterion(model(images_BCHW), labels_B)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def settings(precision: str, epochs: int, model: str = "resnet18", batch: int = BATCH) -> spec.TrainSpec:
    """Returns the spec of ordinary training under the recipe, with test accuracy only at the end."""
    train = {"precision": precision, "epochs": epochs, "generations": 1, "batch_size": batch, "evaluate_every": epochs}
    raw = {"data": {"name": "digits"}, "model": {"name": model}, "train": train, "method": {"name": "normal"}}
    return spec.parse(json.dumps(raw))


def epochs_of(one: spec.TrainSpec, dataset: Dataset, graphed: bool | None = None) -> Iterator[EpochRow]:
    """Runs our loop from a new network; every `next` trains an epoch."""
    state = loop.start(one, len(dataset.classes), dataset.train.labels_N.device)
    return loop.train(one, state, DataBatches(dataset, one.train.batch_size), graphed=graphed)


def interleaved(
    actions: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Runs the actions in turn in every round and returns the seconds of each, after an untimed warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for count in range(rounds + 1):
        for name, action in actions.items():
            began = clock()
            action()
            if count:
                seconds[name].append(clock() - began)
    return seconds


def write_images(folder: Path, count: int) -> None:
    """Writes JPEG files of smooth random colours, one folder per class."""
    random = np.random.default_rng(0)
    for index in range(count):
        of_class = folder / f"{index % CLASSES}"
        of_class.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        coarse.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC).save(of_class / f"{index}.jpeg", quality=90)


def in_memory(images: Any, device: torch.device) -> Dataset:
    """Returns the images of an ImageFolder, decoded once."""
    pixels_NHWC = torch.from_numpy(np.stack([np.asarray(image) for image, _ in images]))
    return _dataset(pixels_NHWC.permute(0, 3, 1, 2).contiguous(), torch.tensor(images.targets), device)


def random_data(count: int, pixels: int, device: torch.device) -> Dataset:
    """Returns noise images with random labels."""
    random = generator(0, "data")
    images_NCHW = torch.randint(0, 256, (count, 3, pixels, pixels), dtype=torch.uint8, generator=random)
    return _dataset(images_NCHW, torch.randint(0, CLASSES, (count,), generator=random), device)


def _dataset(images_NCHW: Tensor, labels_N: Tensor, device: torch.device) -> Dataset:
    train, few = Split(images_NCHW, labels_N), Split(images_NCHW[:BATCH], labels_N[:BATCH])
    return Dataset(
        "benchmark",
        tuple(map(str, range(CLASSES))),
        train,
        few,
        MEAN,
        STD,
        SHIFT,
        flip=True,
    ).to(device)


if __name__ == "__main__":
    sys.exit(main())
