"""CIFAR-10 and CIFAR-100 from the pickles of the Python version, or from LLF's folders of PNG files."""

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS
from trainer.core.data.sources.class_tree import class_folders, tree
from trainer.core.data.sources.label_files import Line, reading
from trainer.core.data.sources.layouts import Layout, read_first, refuse_subset
from trainer.core.data.sources.listing import ListedSplit, Listing

_SIDE = 32


def read10(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("cifar10", subset)
    train = tuple(f"data_batch_{part}" for part in range(1, 6))
    members = {"train": train, "test": ("test_batch",)}
    return _read("cifar10", root, "cifar-10-batches-py", members, "batches.meta", "labels", "label_names")


def read100(root: Path, subset: Path | None = None) -> Listing:
    refuse_subset("cifar100", subset)
    members: dict[str, tuple[str, ...]] = {"train": ("train",), "test": ("test",)}
    return _read("cifar100", root, "cifar-100-python", members, "meta", "fine_labels", "fine_label_names")


def _read(
    name: str, root: Path, folder: str, members: dict[str, tuple[str, ...]], meta: str, labels: str, class_names: str
) -> Listing:
    files = (*(member for each in members.values() for member in each), meta)
    pickles = partial(_pickles, members=members, meta=meta, labels=labels, class_names=class_names)
    png = folder.split("-")[0].upper() + folder.split("-")[1]
    return read_first(
        name,
        root,
        (
            Layout(f"{FACTS[name].archives[0].name} as unpacked", files, pickles, ("", folder)),
            # CIFAR-100's pickle is a file named train, so the folder train/0 distinguishes the two layouts.
            Layout(
                "LLF's PNG folders (train/LABEL/, test/LABEL/)",
                ("train/0", "test/0"),
                _folders,
                ("", png),
                renamed=True,
            ),
        ),
    )


def _pickles(base: Path, members: dict[str, tuple[str, ...]], meta: str, labels: str, class_names: str) -> Listing:
    """Returns the listing of the pickles; item `data_batch_1/7` is row 7 of the pickle `data_batch_1`.

    The pixels stay in memory because they are read together with the labels.
    """
    names = tuple(_entry(base / meta, _unpickled(base / meta), class_names, list))
    planes: dict[str, np.ndarray] = {}
    splits = {}
    for split, files in members.items():
        items: list[str] = []
        numbers: list[int] = []
        for file in files:
            path = base / file
            batch = _unpickled(path)
            planes[file] = _entry(path, batch, "data", np.ndarray)
            of_file = _entry(path, batch, labels, list)
            if planes[file].dtype != np.uint8 or planes[file].shape != (len(of_file), 3 * _SIDE**2):
                raise DataProblem(
                    "E_LABEL",
                    f"{path}: data must be uint8 of {len(of_file):,} x {3 * _SIDE**2} (one row per label), not"
                    f" {planes[file].dtype} of {' x '.join(map(str, planes[file].shape))}. Unpack the archive again",
                )
            for row, label in enumerate(of_file):
                if not isinstance(label, int) or not 0 <= label < len(names):
                    raise Line(path, row + 1, repr(label), labels).problem(
                        f"a label is a number from 0 to {len(names) - 1}"
                    )
            items += (f"{file}/{row}" for row in range(len(of_file)))
            numbers += of_file
        splits[split] = ListedSplit(tuple(items), tuple(numbers))

    def pixels(item: str) -> np.ndarray:
        file, _, row = item.rpartition("/")
        return np.ascontiguousarray(planes[file][int(row)].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0))

    label_files = (*(base / file for each in members.values() for file in each), base / meta)
    return Listing(
        "",
        base,
        names,
        tuple(map(str, range(len(names)))),
        splits,
        label_files,
        read=pixels,
    )


def _folders(base: Path) -> Listing:
    names = class_folders(base / "train")
    classes = sorted(names, key=int) if all(name.isascii() and name.isdigit() for name in names) else names
    return tree(base, {"train": "train", "test": "test"}, classes)


def _entry(path: Path, batch: Any, key: str, kind: type) -> Any:
    value = batch.get(key) if isinstance(batch, dict) else None
    if not isinstance(value, kind):
        there = ", ".join(map(str, batch)) if isinstance(batch, dict) else type(batch).__name__
        raise DataProblem("E_LABEL", f"{path} holds no {kind.__name__} {key!r} but {there}: unpack the archive again")
    return value


def _unpickled(path: Path) -> Any:
    try:
        with reading(path), path.open("rb") as file:
            return _Restricted(file, encoding="latin1").load()
    except DataProblem:
        raise
    except Exception as error:  # a truncated or corrupted pickle may raise anything
        size = path.stat().st_size
        raise DataProblem(
            "E_DECODE", f"{path} ({size:,} bytes) is no readable CIFAR pickle: {error!r}. Unpack the archive again"
        ) from error


def _array(kind: type[np.ndarray], shape: tuple[int, ...], code: str) -> np.ndarray:
    """Replaces numpy's own _reconstruct, whose module has another name in each version of numpy."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of type {kind!r}")
    return np.ndarray.__new__(kind, shape, code)


def _latin1(text: str, encoding: str) -> bytes:
    """Restores bytes, which Python 3 writes as latin-1 text in the pickle protocol of Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class _Restricted(pickle.Unpickler):
    """Reads lists, dicts, strings, numbers and plain arrays, and refuses any other name because it could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file does")
        return _ALLOWED[module, name]
