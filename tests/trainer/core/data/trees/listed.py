"""Trees whose classes and splits are listed in files: text lists, tables and MATLAB arrays."""

from pathlib import Path

import numpy as np
import scipy.io

from tests.trainer.core.data.trees.tree import Tree, image, text


def flowers102(path: Path, layout: str = "official") -> Tree:
    """Traps: ids that start at 1 in unsorted uint8 and uint16 arrays, and classes up to 102.

    `layout` is `official`, `torchvision`, `ke` or `llf`.
    """
    from trainer.core.data.sources.flowers102 import NAMES

    labels = [77, 1, 102, 1, 77, 2, 102, 1]
    ids = {"train": [8, 3], "val": [1, 2], "test": [7, 4, 5, 6]}
    base = path / {"torchvision": "flowers-102", "ke": "flower102", "llf": "Flower102"}.get(layout, "")
    item = "jpg/image_{:05}.jpg".format
    if layout == "llf":
        for number, (split, label) in enumerate((split, label) for split in ids for label in ("102", "001", "077")):
            image(base / split / label / f"image_{number:05}.jpg")
        return Tree(
            root=path,
            own=base,
            classes=("001", "077", "102"),
            counts={"train": 3, "val": 3, "test": 3},
            labels={("train", "train/102/image_00000.jpg"): 2, ("test", "test/077/image_00008.jpg"): 1},
        )
    for number in range(1, 9):
        image(base / item(number), "PNG" if number in (3, 7) else "JPEG")
    if layout == "ke":
        for file, split in (("trn", "train"), ("val", "val"), ("tst", "test")):
            # KE reads the classes from its training list, so every class is in that list here.
            chosen = [8, 3, 6, 1] if split == "train" else {"val": [2], "test": [7, 4, 5]}[split]
            rows = "".join(f"image_{number:05}.jpg,{labels[number - 1]}\n" for number in chosen)
            text(base / "lists" / f"{file}.csv", f"file_name,label\n{rows}")
        return Tree(
            root=path,
            own=base,
            classes=("1", "2", "77", "102"),
            counts={"train": 4, "val": 1, "test": 3},
            labels={("train", item(3)): 3, ("val", item(2)): 0, ("test", item(5)): 2},
        )
    scipy.io.savemat(base / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    arrays = {
        key: np.array([ids[split]], np.uint16)
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
    }
    scipy.io.savemat(base / "setid.mat", arrays)
    return Tree(
        root=path,
        own=base,
        classes=NAMES,
        counts={"train": 2, "val": 2, "test": 4},
        labels={
            ("train", item(8)): 0,
            ("train", item(3)): 101,
            ("val", item(1)): 76,
            ("test", item(6)): 1,
        },
        lossless=(item(3), item(7)),
    )


def cub200(path: Path, layout: str = "official") -> Tree:
    """Traps: ids in another order than paths, classes and files in different case, a grey image, attributes.txt.

    `layout` is `official`, or `folders` for class folders.
    """
    names = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "010.Red_winged_Blackbird")
    if layout == "folders":
        base = path / "CUB200"
        for name in names:
            for split, count in (("train", 2), ("test", 1)):
                for number in range(count):
                    image(base / split / name / f"{name[4:].title()}_{split}_{number:04}.jpg")
        return Tree(
            root=path,
            own=base,
            classes=names,
            counts={"train": 6, "test": 3},
            labels={("train", "train/010.Red_winged_Blackbird/Red_Winged_Blackbird_train_0001.jpg"): 2},
        )
    base = path / "CUB_200_2011"
    class_ids = {"001.Black_footed_Albatross": 1, "002.Laysan_Albatross": 2, "010.Red_winged_Blackbird": 10}
    rows = [
        (1, "010.Red_winged_Blackbird/Red_Winged_Blackbird_0046_18.jpg", 1),
        (2, "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", 0),
        (3, "001.Black_footed_Albatross/Black_Footed_Albatross_0002_55.jpg", 1),
        (11, "002.Laysan_Albatross/Laysan_Albatross_0070_788.jpg", 1),
        (20, "002.Laysan_Albatross/Laysan_Albatross_0001_545.jpg", 0),
        (4, "010.Red_winged_Blackbird/Red_Winged_Blackbird_0001_42.jpg", 0),
    ]
    for number, file, _ in rows:
        image(base / "images" / file, "PNG" if number in (1, 2) else "JPEG", "L" if number == 11 else "RGB")
    text(base / "images.txt", "".join(f"{number} {file}\n" for number, file, _ in rows))
    labels = "".join(f"{number} {class_ids[file.split('/')[0]]}\n" for number, file, _ in reversed(rows))
    text(base / "image_class_labels.txt", labels)
    text(base / "train_test_split.txt", "".join(f"{number} {train}\n" for number, _, train in rows))
    text(base / "classes.txt", "10 010.Red_winged_Blackbird\n1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n")
    text(base / "bounding_boxes.txt", "1 60.0 27.0 325.0 304.0\n")
    text(path / "attributes.txt", "1 has_bill_shape::curved_(up_or_down)\n")
    return Tree(
        root=path,
        own=base,
        classes=names,
        counts={"train": 3, "test": 3},
        labels={
            ("train", f"images/{rows[0][1]}"): 2,
            ("train", f"images/{rows[3][1]}"): 1,
            ("test", f"images/{rows[1][1]}"): 0,
        },
        lossless=(f"images/{rows[0][1]}", f"images/{rows[1][1]}"),
        modes={f"images/{rows[3][1]}": "L"},
    )


def aircraft(path: Path, layout: str = "official") -> Tree:
    """Traps: unsorted variants with a slash or a space, lists of other levels, and trainval.

    `layout` is `official`, `ke` or `llf`.
    """
    variants = ("F/A-18", "707-320", "Gulfstream IV", "A380")
    images = {
        "train": [("1025794", 1), ("0034309", 0), ("2170315", 2), ("0056978", 3)],
        "val": [("1340192", 2), ("1236289", 0)],
        "test": [("0062781", 3), ("1514522", 2), ("0063932", 0)],
    }
    if layout == "llf":
        base = path / "Aircrafts"
        for split in images:
            for count, variant in enumerate(variants):
                image(base / split / variant.replace("/", "_") / f"{count:07}.jpg")
        labels = {("test", "test/F_A-18/0000000.jpg"): 2, ("train", "train/707-320/0000001.jpg"): 0}
        counts = {"train": 4, "val": 4, "test": 4}
        return Tree(
            root=path,
            own=base,
            classes=("707-320", "A380", "F_A-18", "Gulfstream IV"),
            counts=counts,
            labels=labels,
        )
    base = path / ("" if layout == "ke" else "fgvc-aircraft-2013b/data")
    item = "images/{}.jpg".format
    for rows in images.values():
        for number, _ in rows:
            image(base / item(number), "PNG" if number == "1025794" else "JPEG")
    counts = {split: len(rows) for split, rows in images.items()}
    if layout == "ke":
        for file, split in (("trn", "train"), ("val", "val"), ("tst", "test")):
            rows_text = "".join(f"{number}.jpg,{variants[variant]}\n" for number, variant in images[split])
            text(base / "lists" / f"{file}.csv", f"file_name,label\n{rows_text}")
        labels = {("test", item("0063932")): 2, ("train", item("1025794")): 0}
        return Tree(
            root=path,
            own=base,
            classes=tuple(sorted(variants)),
            counts=counts,
            labels=labels,
        )
    for split, rows in {**images, "trainval": images["train"] + images["val"]}.items():
        text(base / f"images_variant_{split}.txt", "".join(f"{number} {variants[v]}\n" for number, v in rows))
        text(base / f"images_family_{split}.txt", "".join(f"{number} Boeing 707\n" for number, _ in rows))
    text(base / "variants.txt", "".join(f"{each}\n" for each in variants))
    text(base / "families.txt", "Boeing 707\n")
    text(base / "images_box.txt", "1025794 3 144 998 431\n")
    return Tree(
        root=path,
        own=path / "fgvc-aircraft-2013b",
        classes=variants,
        counts=counts,
        labels={
            ("train", item("0034309")): 0,
            ("train", item("2170315")): 2,
            ("val", item("1340192")): 2,
            ("test", item("0062781")): 3,
        },
        lossless=(item("1025794"),),
    )


def mit67(path: Path, layout: str = "official") -> Tree:
    """Traps: an apostrophe, a GIF and a grey image named .jpg, an image in no list, no newline at the end of a list.

    `layout` is `official`, `nested` (Kaggle's copy) or `folders` (LLF's tree).
    """
    listed = {
        "train": [
            "gameroom/bt_132294gameroom2.jpg",
            "airport_inside/airport_inside_0002.jpg",
            "bar/joe's bar & grill.jpg",
        ],
        "test": ["bar/bar_0421.jpg", "gameroom/gameroom_04.jpg", "airport_inside/airport_inside_0001.jpg"],
    }
    if layout == "folders":
        base = path / "MIT67"
        for split, files in listed.items():
            for file in files:
                image(base / split / file)
        labels = {("test", "test/bar/bar_0421.jpg"): 1}
        return Tree(
            root=path,
            own=base,
            classes=("airport_inside", "bar", "gameroom"),
            counts={"train": 3, "test": 3},
            labels=labels,
        )
    inner = "indoorCVPR_09/Images" if layout == "nested" else "Images"
    for files in listed.values():
        for file in files:
            form = {"gameroom_04.jpg": "GIF", "bt_132294gameroom2.jpg": "PNG"}.get(file.split("/")[1], "JPEG")
            image(path / inner / file, form, "L" if file.endswith("0421.jpg") else "RGB")
    image(path / inner / "bar" / "bar_0999.jpg")
    text(path / "TrainImages.txt", "\n".join(listed["train"]))
    text(path / "TestImages.txt", "\r\n".join(listed["test"]) + "\r\n")
    return Tree(
        root=path,
        own=path,
        classes=("airport_inside", "bar", "gameroom"),
        counts={"train": 3, "test": 3},
        labels={
            ("train", f"{inner}/gameroom/bt_132294gameroom2.jpg"): 2,
            ("train", f"{inner}/bar/joe's bar & grill.jpg"): 1,
            ("test", f"{inner}/airport_inside/airport_inside_0001.jpg"): 0,
        },
        absent=("bar_0999.jpg",),
        lossless=(f"{inner}/gameroom/bt_132294gameroom2.jpg",),
        modes={f"{inner}/gameroom/gameroom_04.jpg": "P", f"{inner}/bar/bar_0421.jpg": "L"},
    )
