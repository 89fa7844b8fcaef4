"""The tree of Stanford Dogs, whose splits are lists in MATLAB files."""

from pathlib import Path

import numpy as np
import scipy.io

from tests.trainer.core.data.trees.tree import Tree, image, text


def cells(values: list[str]) -> np.ndarray:
    """Returns a column of strings as a MATLAB cell array `[len(values), 1]`."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def dogs(path: Path, layout: str = "official") -> Tree:
    """Traps: strings in cells, labels as doubles, a breed with a hyphen, and two classes of Tiny-ImageNet.

    `layout` is `official`, `lists` (the lists in a folder of their own) or `folders` (class folders).
    """
    breeds = {
        1: "n02085620-Chihuahua",
        4: "n02086240-Shih-Tzu",
        56: "n02099601-golden_retriever",
        120: "n02113799-poodle",
    }
    listed = {"train": [(56, 10), (1, 5927), (4, 7), (120, 3)], "test": [(120, 489), (1, 10074), (4, 57)]}

    def file(label: int, number: int) -> str:
        return f"{breeds[label]}/{breeds[label][:9]}_{number}.jpg"

    if layout == "folders":
        base = path / "Dog120"
        for split, rows in listed.items():
            for label, number in rows:
                image(base / split / file(label, number))
        image(base / "test" / file(56, 77))
        labels = {("train", f"train/{file(4, 7)}"): 1}
        return Tree(
            root=path,
            own=base,
            classes=("Chihuahua", "Shih-Tzu", "golden_retriever", "poodle"),
            counts={"train": 4, "test": 4},
            labels=labels,
        )
    for rows in listed.values():
        for label, number in rows:
            image(path / "Images" / file(label, number), "PNG" if number == 10 else "JPEG")
    text(path / "Annotation" / breeds[1] / f"{breeds[1][:9]}_10074", "<annotation/>\n")
    lists = path / ("lists" if layout == "lists" else "")
    lists.mkdir(exist_ok=True)
    for name, rows in (*listed.items(), ("file", [row for each in listed.values() for row in each])):
        dog_list(lists / f"{name}_list.mat", [(file(label, number), label) for label, number in rows])
    return Tree(
        root=path,
        own=path,
        classes=("Chihuahua", "Shih-Tzu", "golden_retriever", "poodle"),
        counts={"train": 4, "test": 3},
        labels={
            ("train", f"Images/{file(56, 10)}"): 2,
            ("train", f"Images/{file(4, 7)}"): 1,
            ("test", f"Images/{file(120, 489)}"): 3,
        },
        lossless=(f"Images/{file(56, 10)}",),
    )


def dog_list(path: Path, rows: list[tuple[str, int]]) -> None:
    """Writes a MATLAB list of (file, label) rows."""
    files = [file for file, _ in rows]
    arrays = {
        "file_list": cells(files),
        "annotation_list": cells([file.removesuffix(".jpg") for file in files]),
        "labels": np.array([[float(label)] for _, label in rows]),
    }
    scipy.io.savemat(path, arrays)
