"""Small trees in the true format of every data set, with the traps that the real ones have. Each takes milliseconds to make."""

import io
import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

HEIGHT, WIDTH = 24, 20


@dataclass(frozen=True)
class Tree:
    """What an adapter must find in a tree."""

    root: Path
    """What to give to the adapter: the folder that the archives were unpacked into."""
    own: Path
    """The data set's own folder, which it must accept as well."""
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    labels: Mapping[tuple[str, str], int]
    """Of some images: (split, item) -> label."""
    absent: tuple[str, ...] = ()
    """Names of files that are there and must be in no split."""
    lossless: tuple[str, ...] = ()
    """Items whose file holds exactly `pixels(item)`, as PNG whatever its suffix says (CIFAR: as the pickle's row)."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """Items whose file has another mode than RGB."""


def pixels(item: str) -> np.ndarray:
    """uint8 `[H, W, 3]` with three different channels: another picture for each file name, whatever its folder.

    An item without a suffix is a row of a CIFAR pickle, where all of it counts.
    """
    path = PurePosixPath(item)
    height, width, name = (HEIGHT, WIDTH, path.name) if path.suffix else (32, 32, item)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
    fine: np.ndarray = np.kron(coarse, np.ones((-(-height // 4), -(-width // 4), 1), np.uint8))[:height, :width]
    return fine


def image(path: Path, form: str = "JPEG", mode: str = "RGB") -> None:
    """Writes the picture of that name; the format does not depend on the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.name, form, mode))


@cache
def _encoded(name: str, form: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(name)).convert(mode).save(buffer, format=form)
    return buffer.getvalue()


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def tiny_imagenet(path: Path, layout: str = "raw") -> Tree:
    """Traps: wnids.txt is not sorted, a grey JPEG, a flat val with labels in a file, boxes beside images, an unlabelled test.

    `layout` is raw, val (rearranged into class folders), val-images (the same with images/ below each) or train-test (LLF's).
    """
    wnids = ("n02124075", "n04067472", "n01443537")
    base = path / ("tinyImagenet_full" if layout == "train-test" else "tiny-imagenet-200")
    for wnid in wnids:
        inner = base / "train" / wnid / ("" if layout == "train-test" else "images")
        for number in range(4):
            image(inner / f"{wnid}_{number}.JPEG", "PNG" if number == 0 else "JPEG", "L" if number == 3 else "RGB")
        if layout != "train-test":
            text(base / "train" / wnid / f"{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t10\t63\t58\n")
    val = [(f"val_{number}.JPEG", wnids[(2 * number) % 3]) for number in range(6)]
    for name, wnid in val:
        folder = {
            "raw": "val/images",
            "val": f"val/{wnid}",
            "val-images": f"val/{wnid}/images",
            "train-test": f"test/{wnid}",
        }
        image(base / folder[layout] / name)
    if layout == "train-test":
        order = tuple(sorted(wnids))
        return Tree(
            root=path,
            own=base,
            classes=order,
            counts={"train": 12, "test": 6},
            labels={
                ("train", "train/n04067472/n04067472_1.JPEG"): 2,
                ("train", "train/n01443537/n01443537_0.JPEG"): 0,
                ("test", "test/n01443537/val_1.JPEG"): 0,
            },
            lossless=("train/n02124075/n02124075_0.JPEG",),
        )
    text(base / "wnids.txt", "\n".join(wnids) + "\n")
    text(
        base / "words.txt",
        "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\nn04067472\treel\n",
    )
    image(base / "test" / "images" / "test_0.JPEG")
    labels = {
        ("train", "train/n02124075/images/n02124075_0.JPEG"): 0,
        ("train", "train/n01443537/images/n01443537_3.JPEG"): 2,
    }
    if layout == "raw":
        text(base / "val" / "val_annotations.txt", "".join(f"{name}\t{wnid}\t0\t32\t44\t62\n" for name, wnid in val))
        labels |= {("test", "val/images/val_0.JPEG"): 0, ("test", "val/images/val_1.JPEG"): 2}
    else:  # the scripts that rearrange leave an empty folder and the annotations behind
        (base / "val" / "images").mkdir()
        text(base / "val" / "val_annotations.txt", "".join(f"{name}\t{wnid}\t0\t32\t44\t62\n" for name, wnid in val))
        inner_folder = "images/" if layout == "val-images" else ""
        labels[("test", f"val/n01443537/{inner_folder}val_1.JPEG")] = 2
    return Tree(
        root=path,
        own=base,
        classes=("Egyptian cat", "reel", "goldfish, Carassius auratus"),
        counts={"train": 12, "test": 6},
        labels=labels,
        absent=("test_0.JPEG", "n02124075_boxes.txt"),
        lossless=("train/n02124075/images/n02124075_0.JPEG", "train/n04067472/images/n04067472_0.JPEG"),
        modes={"train/n01443537/images/n01443537_3.JPEG": "L"},
    )


class _Python2(pickle._Pickler):
    """Writes strings and bytes as Python 2 did, so that the files are what the authors made, not what Python 3 would."""

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, str | bytes):
            raw = value.encode("latin1") if isinstance(value, str) else value
            self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)  # type: ignore[attr-defined]
        else:
            super().save(value, save_persistent_id)  # type: ignore[misc]


def python2_pickle(path: Path, value: Any) -> None:
    buffer = io.BytesIO()
    _Python2(buffer, protocol=2).dump(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def cifar_rows(file: str, n: int) -> np.ndarray:
    """Rows as CIFAR has them: three planes of 32 x 32, red first."""
    images = [pixels(f"{file}/{row}") for row in range(n)]
    return np.stack([each.transpose(2, 0, 1).reshape(-1) for each in images])


def cifar10(path: Path, layout: str = "python2") -> Tree:
    """Traps: five training batches, whose planes differ, as Python 2 pickled them (`python3`: as a rewrite would be)."""
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
    """Traps: coarse labels beside the fine ones. `folders` are LLF's PNG files, whose class folders are numbers."""
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


def flowers102(path: Path, layout: str = "official") -> Tree:
    """Traps: ids from 1 in uint8 and uint16 arrays, in no order, classes up to 102. Layouts: torchvision, ke, llf too."""
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
            # KE's classes are those of its training list, so every class is in it here.
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
    """Traps: image ids in another order than paths, class names and files in different case, a grey image, attributes.txt."""
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
    """Traps: variants with a slash or a space, in no sorted order, lists of other levels, trainval. Layouts: ke and llf too."""
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
        return Tree(path, base, ("707-320", "A380", "F_A-18", "Gulfstream IV"), counts, labels)
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
        return Tree(path, base, tuple(sorted(variants)), counts, labels)
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
    """Traps: an apostrophe, a GIF and a grey image called .jpg, an image in no list, no newline at the end of a list.

    `nested` is Kaggle's copy, `folders` LLF's tree.
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
        return Tree(path, base, ("airport_inside", "bar", "gameroom"), {"train": 3, "test": 3}, labels)
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


def cells(values: list[str]) -> np.ndarray:
    """A column of strings as a MATLAB cell array."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def dogs(path: Path, layout: str = "official") -> Tree:
    """Traps: strings in cells, labels as doubles, a breed with a hyphen, two of Tiny-ImageNet. Layouts: lists, folders."""
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
            path, base, ("Chihuahua", "Shih-Tzu", "golden_retriever", "poodle"), {"train": 4, "test": 4}, labels
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
    files = [file for file, _ in rows]
    arrays = {
        "file_list": cells(files),
        "annotation_list": cells([file.removesuffix(".jpg") for file in files]),
        "labels": np.array([[float(label)] for _, label in rows]),
    }
    scipy.io.savemat(path, arrays)


CHEST_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)


def chestx(path: Path, layout: str = "flat") -> Tree:
    """Traps: rows with several findings, none, or one of another disease; RGBA; ages like 058Y; commas in header brackets.

    `kaggle` has the images in images_001/images/ and so on; `v2020` is the table's newer name.
    """
    findings = (
        "Cardiomegaly",
        "Cardiomegaly|Emphysema",
        "No Finding",
        "Hernia",
        "Infiltration",
        "Pneumonia",
        "Atelectasis",
        "Pneumothorax",
        "Effusion|Mass",
        "Mass",
        "Nodule",
        "Effusion",
        "Infiltration",
    )
    names = [f"{number // 3 + 1:08}_{number % 3:03}.png" for number in range(len(findings))]
    rows = ""
    folder = {}
    for number, (name, finding) in enumerate(zip(names, findings, strict=True)):
        age = f"{50 + number:03}Y" if number % 2 else str(50 + number)
        rows += f"{name},{finding},{number % 3},{number // 3 + 1},{age},M,PA,2682,2749,0.143,0.143,\n"
        folder[name] = f"images_{number // 5 + 1:03}/images" if layout == "kaggle" else "images"
        image(path / folder[name] / name, "PNG", {4: "L", 6: "RGBA"}.get(number, "RGB"))
    text(path / ("Data_Entry_2017_v2020.csv" if layout == "v2020" else "Data_Entry_2017.csv"), CHEST_HEADER + rows)

    def item(number: int) -> str:
        return f"{folder[names[number]]}/{names[number]}"

    return Tree(
        root=path,
        own=path,
        classes=("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax"),
        counts={"all": 8},
        labels={
            ("all", item(0)): 1,
            ("all", item(4)): 3,
            ("all", item(6)): 0,
            ("all", item(7)): 6,
            ("all", item(10)): 5,
        },
        absent=tuple(names[number] for number in (1, 2, 3, 5, 8)),
        lossless=(item(0), item(7), item(12)),
        modes={item(4): "L", item(6): "RGBA"},
    )


def isic2018(path: Path, layout: str = "official") -> Tree:
    """Traps: labels as one-hot floats, ids without a suffix, LICENSE.txt among the images. `beside`: table in no folder."""
    classes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    labels = {
        "ISIC_0024310": 0,
        "ISIC_0024306": 1,
        "ISIC_0024307": 1,
        "ISIC_0024318": 5,
        "ISIC_0024370": 6,
        "ISIC_0024331": 2,
    }
    images, table = path / "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"
    rows = ""
    for name, label in labels.items():
        image(images / f"{name}.jpg", "PNG" if name.endswith("0") else "JPEG")
        rows += ",".join([name, *("1.0" if number == label else "0.0" for number in range(7))]) + "\n"
    text(images / "LICENSE.txt", "CC-BY-NC\n")
    text(images / "ATTRIBUTION.txt", "HAM10000\n")
    text(path / ("" if layout == "beside" else table) / f"{table}.csv", ",".join(("image", *classes)) + "\n" + rows)
    return Tree(
        root=path,
        own=path,
        classes=classes,
        counts={"all": 6},
        labels={("all", f"{images.name}/{name}.jpg"): label for name, label in labels.items()},
        absent=("LICENSE.txt", "ATTRIBUTION.txt"),
        lossless=(f"{images.name}/ISIC_0024310.jpg", f"{images.name}/ISIC_0024370.jpg"),
    )


EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)


def eurosat(path: Path, layout: str = "2750") -> Tree:
    """Trap: the folder has another name in the newer archive and in torchvision's tree. `layout` is that folder."""
    base = path / layout
    for name in EUROSAT:
        for number in (1, 2, 10):
            image(base / name / f"{name}_{number}.jpg", "PNG" if number == 2 else "JPEG")
    text(base / ".DS_Store", "")
    return Tree(
        root=path,
        own=base,
        classes=EUROSAT,
        counts={"all": 30},
        labels={("all", "AnnualCrop/AnnualCrop_1.jpg"): 0, ("all", "SeaLake/SeaLake_10.jpg"): 9},
        lossless=("River/River_2.jpg", "Forest/Forest_2.jpg"),
    )


def cropdisease(path: Path) -> Tree:
    """Traps: suffixes in every case, commas, spaces and parentheses in names, "copy 2", a test folder that must not be read."""
    files = {
        "Apple___healthy": ("a1___RS_HL 7646.JPG", "a2___RS_HL 5910.JPG"),
        "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot": ("b1___RS_GLSp 4379.JPG", "b2.jpeg"),
        "Corn_(maize)___healthy": ("c1___R.S_HL 8008 copy 2.jpg", "c2.png"),
        "Pepper,_bell___healthy": ("d1___JR_HL 7713.JPG", "d2___JR_HL 8550.JPG"),
        "Tomato___Late_blight": ("e1___GHLB2 Leaf 87.1.JPG",),
    }
    base = path / "dataset" / "train"
    for name, inner in files.items():
        for file in inner:
            image(base / name / file, "PNG" if file[:2] in ("a1", "c2", "d1") else "JPEG")
        image(path / "dataset" / "test" / name / f"test_{name[:3]}.JPG")
    return Tree(
        root=path,
        own=path / "dataset",
        classes=tuple(files),
        counts={"all": 9},
        labels={
            ("all", "Pepper,_bell___healthy/d1___JR_HL 7713.JPG"): 3,
            ("all", "Corn_(maize)___healthy/c2.png"): 2,
            ("all", "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot/b2.jpeg"): 1,
        },
        absent=("test_App.JPG",),
        lossless=("Apple___healthy/a1___RS_HL 7646.JPG", "Pepper,_bell___healthy/d1___JR_HL 7713.JPG"),
    )


def folder(path: Path, layout: str = "whole") -> Tree:
    """Traps: a notebook's hidden copy of an image, a text file among images, a deeper folder. `layout`: whole, or splits."""
    splits = {"whole": {"all": ""}}.get(layout, {split: f"{split}/" for split in layout.split("-")})
    for prefix in splits.values():
        for name in ("zebra", "ape"):
            image(path / prefix / name / "1.png", "PNG")
            image(path / prefix / name / "deeper" / "2.JPG")
        image(path / prefix / "ape" / ".ipynb_checkpoints" / "1-checkpoint.png", "PNG")
        text(path / prefix / "ape" / "notes.txt", "mine\n")
    first, prefix = next(iter(splits.items()))
    return Tree(
        root=path,
        own=path,
        classes=("ape", "zebra"),
        counts=dict.fromkeys(splits, 4),
        labels={(first, f"{prefix}zebra/1.png"): 1, (first, f"{prefix}ape/deeper/2.JPG"): 0},
        absent=("1-checkpoint.png", "notes.txt"),
        lossless=(f"{prefix}zebra/1.png", f"{prefix}ape/1.png"),
    )


BUILDERS: dict[str, Callable[[Path], Tree]] = {
    "tiny-imagenet": tiny_imagenet,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "flowers102": flowers102,
    "cub200": cub200,
    "aircraft": aircraft,
    "mit67": mit67,
    "dogs": dogs,
    "chestx": chestx,
    "isic2018": isic2018,
    "eurosat": eurosat,
    "cropdisease": cropdisease,
    "folder": folder,
}
"""By data set, in the layout that its authors distribute."""
