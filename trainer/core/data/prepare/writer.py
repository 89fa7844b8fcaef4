"""Writes the files of one split. Several threads decode images and write them directly to their place in the file.

Shapes: N rows, S pixels.
"""

import errno
import hashlib
import io
import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.data.errors import DataProblem
from trainer.core.data.images import Decoded, OnBadImage, decode, fitted, undecodable
from trainer.core.data.manifest import PARTS, SplitRecord
from trainer.core.data.prepare.statistics import Tally
from trainer.core.data.recipes import Recipe
from trainer.core.data.sources.listing import Listing
from trainer.core.disk import Disk

_ROWS_AT_ONCE, _BYTES_AT_ONCE = 32, 512 * 1024
"""The limits of one task. Its pixels fit into a core's cache, and there are so few tasks that threads seldom wait."""

_SMALL_BYTES = 8 * 1024

Advance = Callable[[str, int, int], None]
"""Receives the split, the number of rows finished since the last call, and how many of them had a problem."""


def threads_for(listing: Listing) -> int:
    """Returns the number of threads: that of the cores, up to 8, or one if the files are small.

    With small files the threads would only wait for Python's global interpreter lock.
    """
    items = next(iter(listing.splits.values())).items
    if listing.read is not None:
        return 1
    sizes = []
    for item in items[:: max(1, len(items) // 16)]:
        with suppress(OSError):
            sizes.append(os.stat(f"{listing.root}/{item}").st_size)
    small = bool(sizes) and statistics.median(sizes) < _SMALL_BYTES
    return 1 if small else min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Writer:
    """Writes the splits of `listing` into `directory`."""

    directory: Path
    listing: Listing
    recipe: Recipe
    on_bad_image: OnBadImage
    pool: ThreadPoolExecutor
    disk: Disk
    advance: Advance

    @property
    def row_bytes(self) -> int:
        return 3 * self.recipe.size**2

    def write(self, split: str, expected: int | None) -> tuple[SplitRecord, tuple[str, ...]]:
        """Writes one split and returns its record and the problems of its images.

        `expected` is the known number of images. Raises DataProblem E_DECODE, E_MISSING or E_PERM, or OSError.
        """
        items = self.listing.splits[split].items
        images, labels, texts = (self.directory / f"{split}.{part}" for part in PARTS)
        tally = self._fill(images, split, items)
        kept = [row for row in range(len(items)) if row not in tally.skipped]
        if not kept:
            raise DataProblem("E_DECODE", f"not one image of {split} can be decoded; the first: {tally.skipped[0]}")
        if len(kept) < len(items):
            _keep(images, kept, self.recipe.size)
        self.disk.sync(images)
        with images.open("rb") as file:
            images_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        labels_N = np.array([self.listing.splits[split].labels[row] for row in kept], dtype=np.int64)
        labels_bytes = _npy(labels_N)
        items_bytes = "".join(f"{items[row]}\n" for row in kept).encode("utf-8", "surrogateescape")
        self.disk.write(labels, labels_bytes)
        self.disk.write(texts, items_bytes)
        mean, std = tally.moments(len(kept) * self.recipe.size**2)
        record = SplitRecord(
            n=len(kept),
            expected_n=expected,
            source_split=split,
            class_counts=tuple(np.bincount(labels_N, minlength=len(self.listing.classes)).tolist()),
            images_bytes=images.stat().st_size,
            labels_bytes=len(labels_bytes),
            items_bytes=len(items_bytes),
            images_sha256=images_sha256,
            labels_sha256=hashlib.sha256(labels_bytes).hexdigest(),
            items_sha256=hashlib.sha256(items_bytes).hexdigest(),
            channel_mean=mean,
            channel_std=std,
            modes=dict(sorted(tally.modes.items())),
            upscaled=tally.upscaled,
            skipped=tuple(items[row] for row in sorted(tally.skipped)),
            repaired=tuple(items[row] for row in sorted(tally.repaired)),
        )
        bad = sorted((tally.skipped | tally.repaired).items())
        return record, tuple(text for _, text in bad)

    def _fill(self, path: Path, split: str, items: Sequence[str]) -> Tally:
        """Writes a new file whose row i holds the pixels of item i.

        The row of a skipped item is black until `_keep`.
        """
        tally = Tally()
        with path.open("xb", buffering=0) as file:
            file.write(_header(len(items), self.recipe.size))
            at_once = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // self.row_bytes))
            tasks = [range(len(items))[first : first + at_once] for first in range(0, len(items), at_once)]
            futures = [self.pool.submit(self._decode, file.fileno(), file.tell(), rows, items) for rows in tasks]
            try:
                # in order, so that the first bad image is the one reported
                for rows, future in zip(tasks, futures, strict=True):
                    one = future.result()
                    tally.add(one)
                    self.advance(split, len(rows), len(one.skipped) + len(one.repaired))
            finally:
                for future in futures:
                    future.cancel()
                wait(futures)  # they still write to the file
            file.truncate(file.tell() + len(items) * self.row_bytes)
        return tally

    def _decode(self, file: int, offset: int, rows: range, items: Sequence[str]) -> Tally:
        """Decodes some rows and writes them at their place in the file.

        The file is not mapped into memory, because a full disk would then kill the process instead of raising OSError.
        """
        tally = Tally()
        pixels_N3SS = np.zeros((len(rows), 3, self.recipe.size, self.recipe.size), dtype=np.uint8)
        for row, pixels_3SS in zip(rows, pixels_N3SS, strict=True):
            try:
                one = self._one(items[row], repair=False)
            except DataProblem as problem:
                if problem.code != "E_DECODE" or self.on_bad_image == "error":
                    raise
                if self.on_bad_image == "skip":
                    tally.skipped[row] = f"E_DECODE left out: {_cause(problem)}"
                    continue  # its zeros add nothing to the sums
                one = self._one(items[row], repair=True)
                tally.repaired[row] = f"E_DECODE repaired: {_cause(problem)}"
            pixels_3SS[:] = np.asarray(one.image).transpose(2, 0, 1)
            tally.upscaled += one.upscaled
            if one.mode != "RGB":
                tally.modes[one.mode] += 1
        tally.count(pixels_N3SS)
        _write_at(file, pixels_N3SS.data, offset + rows.start * self.row_bytes)
        return tally

    def _one(self, item: str, repair: bool) -> Decoded:
        if self.listing.read is not None:
            return fitted(self.listing.read(item), self.recipe, item)
        path = f"{self.listing.root}/{item}"
        try:
            with open(path, "rb", buffering=0) as file:
                payload = file.read()
        except FileNotFoundError as error:
            if os.path.islink(path):
                why = f"it is a link to {os.readlink(path)}, which does not exist"
                raise undecodable(path, 0, why) from error
            raise DataProblem(
                "E_MISSING", f"{path} was there when files were listed and is gone; start again"
            ) from error
        except PermissionError as error:
            raise DataProblem("E_PERM", f"{path} may not be read; change its owner or mode") from error
        except OSError as error:
            raise undecodable(path, 0, f"{type(error).__name__}: {error}") from error
        return decode(payload, self.recipe, path, repair)


def _cause(problem: DataProblem) -> str:
    """Returns the message without its remedy, which has been applied."""
    return problem.message.rpartition("; ")[0]


def _keep(path: Path, kept: Sequence[int], size: int) -> None:
    """Moves the rows that stay to the front and truncates the file after them."""
    header, row_bytes = _header(len(kept), size), 3 * size**2
    with path.open("r+b", buffering=0) as file:
        for to, row in enumerate(kept):
            if to != row:
                one = os.pread(file.fileno(), row_bytes, len(header) + row * row_bytes)
                _write_at(file.fileno(), memoryview(one), len(header) + to * row_bytes)
        file.write(header)
        file.truncate(len(header) + len(kept) * row_bytes)


def _write_at(file: int, rows: memoryview, offset: int) -> None:
    if os.pwrite(file, rows, offset) != rows.nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _header(rows: int, size: int) -> bytes:
    """Returns the header of the file. Its length does not depend on `rows`, because numpy pads it."""
    buffer = io.BytesIO()
    described: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (rows, 3, size, size)}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
