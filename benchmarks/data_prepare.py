"""Preparing a data set and reading it, against a plain loop over its files and torchvision's ImageFolder.

`python -m benchmarks.data_prepare [--quick]`. The files are JPEG crops of scikit-learn's two photographs, one folder
per class.

Three sides take turns over the same files: the plain loop (`Image.open`, `convert`, `resize`, `np.asarray`, which keeps
nothing), ImageFolder under a DataLoader, and preparing by one thread, which also computes mean and deviation, writes
and hashes. They are timed in seconds of CPU time, which depends least on the load of the machine, and rates are those
of the medians. Preparing with the default number of threads is timed by the clock. The pixels must be equal to the
loop's. Then the cache is opened, read in random batches of 256 rows (which replaces ImageFolder in training and gives
the ratio), and verified (which decodes 32 images again).
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.report import print_result
from benchmarks.train_step import interleaved
from trainer.core.data import cache
from trainer.core.data.prepare.pipeline import prepare
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import ListedSplit, Listing
from trainer.core.determinism import pin_threads

CLASSES, BATCH = 10, 256
PREPARE_FLOOR, READ_FLOOR = 0.5, 5.0
"""The least ratios: the rate of preparing over the plain loop's, and the rate of reading over ImageFolder's."""
CASES = (((64, 64), 64, 1200), ((500, 375), 64, 200), ((500, 375), 224, 160), ((1100, 750), 224, 48))
"""The width and height of the files and the size of the recipe in pixels, and the number of files in a quick run."""


def main() -> int:
    """Returns 1 if pixels differ or a ratio is below its floor, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_prepare", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="about a minute")
    quick = parser.parse_args().quick
    pin_threads(1)
    print(f"{'':<15}{'per CPU second':^38}{'':>9}{'by the clock':>14}")
    heads = ("loop", "ImageFolder", "prepare", "read", "to loop", "prepare", "open ms", "verify MB/s", "error")
    print(f"{'files':<10}{'px':>4}" + "".join(f"{head:>12}" for head in heads))
    prepared, read, errors = [], [], []
    for (width, height), size, count in CASES:
        with tempfile.TemporaryDirectory() as folder:
            listing = write_images(Path(folder) / "files", count if quick else 4 * count, width, height)
            found = measured(listing, Recipe(size), Path(folder) / "cache", 5 if quick else 9)
        prepared.append(found.prepare / found.loop)
        read.append(found.read / found.imagefolder)
        errors.append(found.error)
        rates = (found.loop, found.imagefolder, found.prepare, found.read)
        cells = [
            *(f"{rate:,.0f}" for rate in rates),
            f"{prepared[-1]:.2f}",
            f"{found.clock:,.0f}",
            f"{found.open_ms:.2f}",
        ]
        line = "".join(f"{cell:>12}" for cell in [*cells, f"{found.verify:,.0f}", f"{found.error}"])
        print(f"{f'{width}x{height}':<10}{size:>4}{line}", flush=True)
    print(f"least rate of preparing over the plain loop's: {min(prepared):.2f} (floor {PREPARE_FLOOR})")
    print_result("data_prepare", min(read), READ_FLOOR, max(errors), torch.device("cpu"))
    return int(max(errors) > 0 or min(prepared) < PREPARE_FLOOR or min(read) < READ_FLOOR)


@dataclass(frozen=True)
class Measured:
    """Rates in images per CPU second.

    `clock` is preparing per second of wall time, and `verify` is in MB per second.
    """

    loop: float
    imagefolder: float
    prepare: float
    read: float
    clock: float
    open_ms: float
    verify: float
    error: int


def measured(listing: Listing, recipe: Recipe, cache_root: Path, rounds: int) -> Measured:
    square = transforms.Resize((recipe.size, recipe.size))
    images = torchvision.datasets.ImageFolder(listing.root, transforms.Compose([square, transforms.PILToTensor()]))
    loader = DataLoader(images, BATCH)
    roots = (
        cache_root / f"{count}" for count in itertools.count()
    )  # each time another: removing files is not preparing
    clocks: list[float] = []

    def afresh(threads: int | None) -> None:
        began = time.perf_counter()
        prepare("files", listing.root, next(roots), recipe, listing=listing, threads=threads)
        if threads is None:
            clocks.append(time.perf_counter() - began)

    turns: dict[str, Callable[[], object]] = {
        "loop": lambda: [None for _ in plain(listing, recipe.size)],
        "folder": lambda: [None for _ in loader],
        "ours": partial(afresh, 1),
        "chosen": partial(afresh, None),
    }
    seconds = [statistics.median(each) for each in interleaved(turns, rounds).values()]
    count = len(listing.splits["all"].items)
    directory = cache.find(cache_root / "0", "files", recipe)
    assert directory is not None
    open_ms = 1e3 * statistics.median(timed(partial(cache.open_cache, directory)) for _ in range(20))
    images_NCHW = cache.open_cache(directory).splits["all"].images_NCHW
    size = sum(path.stat().st_size for path in directory.iterdir())
    verify_s = timed(partial(cache.verify, directory))
    pairs = zip(images_NCHW, plain(listing, recipe.size), strict=True)
    error = max(int(np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs).max()) for ours, theirs in pairs)
    loop, imagefolder, ours = (count / each for each in seconds[:3])
    clock = count / statistics.median(clocks[1:])
    return Measured(
        loop,
        imagefolder,
        ours,
        reading(images_NCHW),
        clock,
        open_ms,
        size / 1e6 / verify_s,
        error,
    )


def reading(images_NCHW: Tensor) -> float:
    """Returns images per CPU second in random batches, measured for at least half a second."""
    drawn = torch.Generator().manual_seed(0)
    batches, began = 0, time.process_time()
    while (spent := time.process_time() - began) < 0.5:
        images_NCHW[torch.randint(0, len(images_NCHW), (BATCH,), generator=drawn)]
        batches += 1
    return batches * BATCH / spent


def plain(listing: Listing, size: int) -> Iterator[np.ndarray]:
    """Runs the baseline, which is what a simple script would do."""
    for item in listing.splits["all"].items:
        image = Image.open(listing.root / item).convert("RGB")
        yield np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def write_images(root: Path, count: int, width: int, height: int) -> Listing:
    """Makes crops at random places and scales, so that neighbouring pixels are like those of a photograph."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    random = np.random.default_rng(0)
    items = []
    for index in range(count):
        photo = photos[index % 2]
        share = random.uniform(0.5, 1)
        w, h = int(photo.width * share), int(photo.height * share)
        left, top = int(random.integers(0, photo.width - w + 1)), int(random.integers(0, photo.height - h + 1))
        item = f"{index % CLASSES}/{index:05}.jpg"
        (root / item).parent.mkdir(parents=True, exist_ok=True)
        box = (left, top, left + w, top + h)
        photo.resize((width, height), Image.Resampling.BICUBIC, box).save(root / item, quality=90)
        items.append(item)
    names = tuple(map(str, range(CLASSES)))
    return Listing(
        "one folder per class",
        root,
        names,
        names,
        {"all": ListedSplit(tuple(items), tuple(int(i[0]) for i in items))},
    )


if __name__ == "__main__":
    sys.exit(main())
