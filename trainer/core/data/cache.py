"""Prepared data sets on disk. Opening one checks sizes only and takes milliseconds; `verify` reads everything.

The folder `<cache>/<dataset>/<S>px-<recipe8>/` holds `manifest.json` and the images, labels and items of each split.
Shapes: N rows, S pixels.
"""

import hashlib
import logging
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core.data.dataset import Split
from trainer.core.data.errors import DataProblem
from trainer.core.data.images import decode, fitted
from trainer.core.data.manifest import MANIFEST, PARTS, Manifest, SplitRecord, bad_cache, read_manifest
from trainer.core.data.recipes import Recipe
from trainer.core.seeding import generator

log = logging.getLogger("relearn.data")

Read = Callable[[str], np.ndarray]
# Python names this constant from 3.13 on.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if os.uname().sysname == "Linux" else 0)
_ROWS_AGAIN = 32


@dataclass(frozen=True)
class Opened:
    """An open cache. Images stay on disk until they are read. Writing to them changes only this process's copy."""

    directory: Path
    manifest: Manifest
    splits: Mapping[str, Split]


@dataclass(frozen=True)
class Verified:
    """What a verification compared: all files, all bytes, and `rows` images that were decoded again from the source.

    `note` says why no rows were decoded, and is empty otherwise.
    """

    files: int
    bytes: int
    rows: int
    note: str


def folder(cache_root: Path, dataset: str, recipe: Recipe, variant: str = "") -> Path:
    """Returns the folder of the cache, whether it exists or not."""
    return cache_root / dataset / (f"{recipe.folder}-{variant}" if variant else recipe.folder)


def find(cache_root: Path, dataset: str, recipe: Recipe, variant: str = "") -> Path | None:
    """Returns the cache of `dataset` made by `recipe`, or None.

    If there is none, the newest cache that another version of Pillow made by the same recipe is used.
    """
    exact = folder(cache_root, dataset, recipe, variant)
    if (exact / MANIFEST).exists():
        return exact
    others = []
    for directory in sorted((cache_root / dataset).glob(f"{recipe.size}px-*")):
        try:
            manifest = read_manifest(directory)
        except DataProblem:
            continue
        if (
            replace(manifest.recipe, pillow=recipe.pillow) == recipe
            and directory.name == folder(cache_root, dataset, manifest.recipe, variant).name
        ):
            others.append((manifest.created, directory, manifest.recipe.pillow))
    if not others:
        return None
    _, directory, pillow = max(others)
    log.warning(
        "%s was prepared by Pillow %s; %s is installed, whose pixels may differ slightly",
        directory,
        pillow,
        recipe.pillow,
    )
    return directory


def open_cache(directory: Path) -> Opened:
    """Opens the splits in `directory` after checking sizes and shapes. Raises DataProblem E_CACHE."""
    manifest = read_manifest(directory)
    splits = {}
    for name, record in manifest.splits.items():
        for part, size in zip(PARTS, (record.images_bytes, record.labels_bytes, record.items_bytes), strict=True):
            path = directory / f"{name}.{part}"
            try:
                found = path.stat().st_size
            except OSError as error:
                raise bad_cache(path, f"cannot be read ({error.strerror})") from error
            if found != size:
                raise bad_cache(path, f"has {found:,} bytes, the manifest says {size:,}")
        S = manifest.recipe.size
        images_NCHW = _mapped(directory / f"{name}.images.npy", (record.n, 3, S, S))
        splits[name] = Split(images_NCHW, _labels(directory / f"{name}.labels.npy", record, len(manifest.classes)))
    return Opened(directory, manifest, splits)


def digest(directory: Path) -> str:
    """Returns the digest of the cache's content according to its manifest. Raises DataProblem E_CACHE."""
    return read_manifest(directory).digest()


def verify(directory: Path, source: Path | None = None, read: Read | None = None) -> Verified:
    """Compares every byte of the cache with its manifest, and decodes 32 rows again from the source.

    The source is `source`, or the folder that the manifest names. `read` is the `read` of the source's listing if the
    items are not image files. Raises DataProblem E_CACHE for the first file or row that differs.
    """
    opened = open_cache(directory)
    size = 0
    for name, record in opened.manifest.splits.items():
        wanted = (record.images_sha256, record.labels_sha256, record.items_sha256)
        for part, sha256 in zip(PARTS, wanted, strict=True):
            path = directory / f"{name}.{part}"
            found = sha256_of(path)
            size += path.stat().st_size
            if found != sha256:
                raise bad_cache(path, f"has sha256 {found}, the manifest says {sha256}")
        counts = tuple(torch.bincount(opened.splits[name].labels_N, minlength=len(opened.manifest.classes)).tolist())
        if counts != record.class_counts:
            raise bad_cache(directory / f"{name}.labels.npy", "does not have the class counts of the manifest")
    rows, note = _decoded_again(opened, source or Path(opened.manifest.source.root), read)
    return Verified(len(PARTS) * len(opened.splits), size, rows, note)


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decoded_again(opened: Opened, root: Path, read: Read | None) -> tuple[int, str]:
    """Returns how many rows were decoded again and found equal, and the reason if none were tried."""
    manifest = opened.manifest
    if manifest.recipe.pillow != Recipe(manifest.recipe.size).pillow:
        return 0, f"prepared by Pillow {manifest.recipe.pillow}, which is not installed"
    if manifest.source.reader and read is None:
        return 0, "its items are no files, and no reader was given"
    if not root.exists():
        return 0, f"its source {root} is not there"
    total = sum(record.n for record in manifest.splits.values())
    drawn = torch.randperm(total, generator=generator(0, "data", manifest.digest()))[:_ROWS_AGAIN].tolist()
    first = 0
    for name, record in manifest.splits.items():
        rows = sorted(row - first for row in drawn if first <= row < first + record.n)
        first += record.n
        if rows:
            _rows_again(opened, name, record, rows, root, read)
    return len(drawn), ""


def _rows_again(opened: Opened, name: str, record: SplitRecord, rows: list[int], root: Path, read: Read | None) -> None:
    items = (opened.directory / f"{name}.items.txt").read_text("utf-8", "surrogateescape").split("\n")
    for row in rows:
        path = root / items[row]
        try:
            if read is not None and opened.manifest.source.reader:
                one = fitted(read(items[row]), opened.manifest.recipe, items[row])
            else:
                one = decode(path.read_bytes(), opened.manifest.recipe, str(path), items[row] in record.repaired)
        except OSError as error:
            raise bad_cache(
                opened.directory / MANIFEST, f"names the source {path}, which cannot be read ({error})"
            ) from error
        again_CHW = torch.from_numpy(np.array(one.image)).permute(2, 0, 1)
        if not torch.equal(again_CHW, opened.splits[name].images_NCHW[row]):
            what = f"differs in row {row} from {path} as it decodes now: the source or the cache has changed"
            raise bad_cache(opened.directory / f"{name}.images.npy", what)


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Maps the array as private pages.

    torch requires writable pages, and in a shared map an accidental write would change the file.
    """
    offset = _checked(path, np.dtype(np.uint8), shape).offset
    with path.open("rb") as file:
        kind = mmap.MAP_PRIVATE | _NO_RESERVE
        memory = mmap.mmap(file.fileno(), 0, flags=kind, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return torch.from_numpy(np.frombuffer(memory, np.uint8, offset=offset).reshape(shape))


def _labels(path: Path, record: SplitRecord, classes: int) -> Tensor:
    labels_N = torch.from_numpy(np.array(_checked(path, np.dtype(np.int64), (record.n,))))
    if not 0 <= int(labels_N.min()) <= int(labels_N.max()) < classes:
        raise bad_cache(path, f"has labels outside 0..{classes - 1}")
    return labels_N


def _checked(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> "np.memmap[Any, Any]":
    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise bad_cache(path, f"is no .npy file: {error}") from error
    if (found.dtype, found.shape, found.flags.c_contiguous) != (dtype, shape, True):
        raise bad_cache(path, f"holds {found.dtype} {list(found.shape)}, the manifest says {dtype} {list(shape)}")
    return found
