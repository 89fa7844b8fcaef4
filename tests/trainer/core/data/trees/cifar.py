"""The trees of CIFAR-10 and CIFAR-100, whose pickles have the format of Python 2."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tests.trainer.core.data.trees.tree import Tree, image, pixels


class _Python2(pickle._Pickler):
    """Writes strings and bytes in the format of Python 2, as in the files that the authors distribute."""

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, str | bytes):
            raw = value.encode("latin1") if isinstance(value, str) else value
            self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)  # type: ignore[attr-defined]
        else:
            super().save(value, save_persistent_id)  # type: ignore[misc]


def python2_pickle(path: Path, value: Any) -> None:
    """Writes `value` as a pickle in the format of Python 2."""
    buffer = io.BytesIO()
    _Python2(buffer, protocol=2).dump(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def cifar_rows(file: str, n: int) -> np.ndarray:
    """Returns `n` rows of a CIFAR batch, uint8 `[n, 3072]`: three planes of 32 x 32 pixels, red first."""
    images = [pixels(f"{file}/{row}") for row in range(n)]
    return np.stack([each.transpose(2, 0, 1).reshape(-1) for each in images])


def cifar10(path: Path, layout: str = "python2") -> Tree:
    """Traps: five training batches, and planes that differ.

    `layout` is `python2` for pickles in the original format, or `python3` for pickles that Python 3 wrote again.
    """
    base = path / "cifar-10-batches-py"
    names = ["airplane", "automobile", "bird"]
    dump = python2_pickle if layout == "python2" else _python3_pickle
    for part, file in enumerate((*(f"data_batch_{part}" for part in range(1, 6)), "test_batch")):
        labels = [(part + row) % 3 for row in range(4)]
        batch = {
            "batch_label": f"batch {part} of 6",
            "labels": labels,
            "data": cifar_rows(file, 4),
            "filenames": [f"{names[label]}_s_{row:06}.png" for row, label in enumerate(labels)],
        }
        dump(base / file, batch)
    dump(base / "batches.meta", {"num_cases_per_batch": 4, "label_names": names, "num_vis": 3072})
    return Tree(
        root=path,
        own=base,
        classes=tuple(names),
        counts={"train": 20, "test": 4},
        labels={("train", "data_batch_1/0"): 0, ("train", "data_batch_5/3"): 1, ("test", "test_batch/2"): 1},
        lossless=("data_batch_2/1", "test_batch/3"),
    )


def cifar100(path: Path, layout: str = "python2") -> Tree:
    """Traps: coarse labels beside the fine ones.

    `layout` is `python2`, or `folders` for LLF's PNG files in class folders that are numbers.
    """
    if layout == "folders":
        base = path / "CIFAR100"
        for label in (0, 2, 10):
            for row in range(2):
                image(base / "train" / str(label) / f"{10 * label + row}.png", "PNG")
            image(base / "test" / str(label) / f"{10 * label}.png", "PNG")
        return Tree(
            root=path,
            own=base,
            classes=("0", "2", "10"),
            counts={"train": 6, "test": 3},
            labels={("train", "train/10/101.png"): 2, ("test", "test/2/20.png"): 1},
            lossless=("train/10/101.png",),
        )
    base = path / "cifar-100-python"
    names, coarse = ["apple", "aquarium_fish", "baby", "bear"], ["fish", "fruit_and_vegetables"]
    for file, n in (("train", 8), ("test", 4)):
        batch = {
            "filenames": [f"{file}_s_{row:06}.png" for row in range(n)],
            "batch_label": f"{file}ing batch 1 of 1",
            "fine_labels": [(3 * row + 1) % 4 for row in range(n)],
            "coarse_labels": [row % 2 for row in range(n)],
            "data": cifar_rows(file, n),
        }
        python2_pickle(base / file, batch)
    python2_pickle(base / "meta", {"fine_label_names": names, "coarse_label_names": coarse})
    return Tree(
        root=path,
        own=base,
        classes=tuple(names),
        counts={"train": 8, "test": 4},
        labels={("train", "train/0"): 1, ("train", "train/1"): 0, ("test", "test/2"): 3},
        lossless=("train/5", "test/0"),
    )


def _python3_pickle(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=2))
