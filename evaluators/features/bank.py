"""A bank of layer outputs of frozen networks, which are computed once for all evaluators (performance 1, 3, 5).

Legend: N images, D outputs of a layer for one image.
"""

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from evaluators.features.extraction import PENULTIMATE, Precision, outputs, prepared
from evaluators.progress import Progress, silent
from trainer.core.checkpoint import weights_digest
from trainer.core.data import Dataset, Split

VERSION = 1
"""The version of the values. It is raised when the same network and images would give other values."""
STALE_S = 24 * 3600.0
Pool = Literal["none", "avg"]
log = logging.getLogger("relearn.bank")


@dataclass(frozen=True)
class Bank:
    """Layer outputs by content key, which covers weights, pixels and all else that determines them.

    On disk an entry is `KEY.npy` and, written last, `KEY.json` with the sha256 of the values, which is checked before
    they are used. A damaged entry is computed again. Entries larger than `entry_bytes` are not kept. If all entries
    exceed `limit_bytes`, the least recently used ones are removed. Without a directory nothing is kept.
    """

    directory: Path | None = None
    limit_bytes: int = 20 * 2**30
    entry_bytes: int = 2**30

    def features(
        self,
        model: nn.Module,
        dataset: Dataset,
        split: Split,
        precision: Precision = "exact",
        progress: Progress = silent,
    ) -> Tensor:
        """Returns the input `[N, D]` of `model.fc` for the images of `split`, on the model's device.

        Raises ValueError if a value is not finite, as after a diverged training.
        """
        key = self._keys(model, dataset, split, (PENULTIMATE,), "none", precision)[PENULTIMATE]
        with self._alone(key):
            if (stored := self._open(key)) is not None:
                return stored.to(next(model.parameters()).device)
            pieces = self.stream(model, dataset, split, (PENULTIMATE,), precision=precision, progress=progress)
            return torch.cat([piece[PENULTIMATE] for piece in pieces])

    def stream(
        self,
        model: nn.Module,
        dataset: Dataset,
        split: Split,
        layers: Iterable[str],
        pool: Pool = "none",
        rows: int = 1024,
        precision: Precision = "exact",
        progress: Progress = silent,
    ) -> Iterator[dict[str, Tensor]]:
        """Yields the outputs `[rows, D]` of each of `layers` for `rows` images at a time.

        The layer PENULTIMATE is the input of fc. Outputs are flattened, or with `pool` "avg" averaged over their
        pixels. The network runs only for outputs that the bank lacks. Raises ValueError for a layer that the model
        lacks and if an output is not finite.
        """
        keys = self._keys(model, dataset, split, layers, pool, precision)
        stored = {layer: found for layer, key in keys.items() if (found := self._open(key)) is not None}
        missing = {layer: key for layer, key in keys.items() if layer not in stored}
        network = prepared(model, missing, precision) if missing else model
        device, N = next(model.parameters()).device, len(split)
        writers: dict[str, _Writer] = {}
        try:
            for at in range(0, N, rows):
                images_NCHW = split.images_NCHW[at : at + rows]
                piece = {layer: of_all[at : at + rows].to(device) for layer, of_all in stored.items()}
                if missing:
                    piece |= outputs(network, dataset, images_NCHW, missing, pool, precision)
                    for layer, key in missing.items():
                        if at == 0 and self.directory is not None and self._keeps(N, piece[layer]):
                            writers[layer] = _Writer(self.directory, key, N, piece[layer])
                        if layer in writers:
                            writers[layer].write(at, piece[layer])
                    progress(f"{dataset.name} through the network", at + len(images_NCHW), N)
                yield {layer: piece[layer] for layer in keys}
            for layer, writer in writers.items():
                writer.finish({"layer": layer, "pool": pool, "precision": precision})
            if writers:
                self._evict({f"{missing[layer]}.npy" for layer in writers})
        finally:
            for writer in writers.values():
                writer.discard()

    def _keeps(self, n: int, values_ND: Tensor) -> bool:
        needed = n * values_ND.shape[1] * values_ND.element_size()
        assert self.directory is not None
        self.directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.directory).free
        if needed <= self.entry_bytes and 2 * needed > free:
            log.warning(
                "%s has %.1f GB left: %.1f GB of outputs are not kept", self.directory, free / 1e9, needed / 1e9
            )
        return needed <= self.entry_bytes and 2 * needed <= free

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Lets one process at a time compute the features of `key`, so that a second one finds them finished.

        Keys with the same first two digits share a lock, so that there are at most 256 lock files.
        """
        if self.directory is None:
            yield
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with FileLock(self.directory / f"{key[:2]}.lock"):
            yield

    def _keys(
        self, model: nn.Module, dataset: Dataset, split: Split, layers: Iterable[str], pool: Pool, precision: Precision
    ) -> dict[str, str]:
        if self.directory is None:
            return dict.fromkeys(layers, "")
        parameter = next(model.parameters())
        address = {
            "version": VERSION,
            "weights": weights_digest(model.state_dict()),
            "network": repr(model),
            "images": split.digest,
            "mean": dataset.mean,
            "std": dataset.std,
            "pool": pool,
            "precision": precision,
            "dtype": str(parameter.dtype),
            "device": parameter.device.type,
        }
        texts = {layer: json.dumps(address | {"layer": layer}, sort_keys=True) for layer in layers}
        return {layer: hashlib.sha256(text.encode()).hexdigest() for layer, text in texts.items()}

    def _open(self, key: str) -> Tensor | None:
        if self.directory is None:
            return None
        values, manifest = self.directory / f"{key}.npy", self.directory / f"{key}.json"
        try:
            expected = json.loads(manifest.read_bytes())["sha256"]
            found = np.load(values, mmap_mode="c")  # copy on write, because torch does not support read-only memory
            whole = _sha256(found) == expected
            if whole:
                os.utime(manifest)
        except (OSError, EOFError, ValueError, KeyError, TypeError):  # missing, damaged or just removed by a process
            return None
        if not whole:
            manifest.unlink(missing_ok=True)
            values.unlink(missing_ok=True)
            return None
        return torch.from_numpy(found)

    def _evict(self, new: set[str]) -> None:
        """Removes the least recently used entries beyond `limit_bytes`, except `new`, and stale temporary files.

        Other processes may do the same at the same time, so any file may already be gone.
        """
        assert self.directory is not None
        entries = []
        for manifest in self.directory.glob("*.json"):
            with suppress(FileNotFoundError):
                file = manifest.with_suffix(".npy")
                entries.append((manifest.stat().st_mtime, file.stat().st_size, manifest, file))
        total = sum(size for _, size, _, _ in entries)
        for _, size, manifest, file in sorted(entries):
            if total > self.limit_bytes and file.name not in new:
                total -= size
                manifest.unlink(missing_ok=True)
                file.unlink(missing_ok=True)  # a process that has it mapped can still read it
        alone = [path for path in self.directory.glob("*.npy") if not path.with_suffix(".json").exists()]
        for left in [*alone, *self.directory.glob("*partial-*")]:  # left behind by a killed process
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - STALE_S:
                    left.unlink()


class _Writer:
    """Writes one entry under a temporary name, which becomes its own when it is complete."""

    def __init__(self, directory: Path, key: str, n: int, values_ND: Tensor) -> None:
        self._file, self._manifest = directory / f"{key}.npy", directory / f"{key}.json"
        self._aside = directory / f"{key}.partial-{uuid.uuid4().hex}"
        dtype = values_ND.new_empty(0, device="cpu").numpy().dtype
        self._values = np.lib.format.open_memmap(self._aside, "w+", dtype, (n, values_ND.shape[1]))

    def write(self, at: int, values_ND: Tensor) -> None:
        self._values[at : at + len(values_ND)] = values_ND.cpu().numpy()

    def finish(self, facts: dict[str, Any]) -> None:
        self._values.flush()
        facts |= {"shape": self._values.shape, "sha256": _sha256(self._values)}
        self._aside.replace(self._file)
        text = self._aside.with_suffix(".json-" + self._aside.suffix[1:])
        text.write_text(json.dumps(facts))
        text.replace(self._manifest)

    def discard(self) -> None:
        self._aside.unlink(missing_ok=True)


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(values.data).hexdigest()
