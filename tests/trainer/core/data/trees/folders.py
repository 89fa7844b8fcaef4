"""Trees with one folder per class: Tiny-ImageNet, and a user's own images."""

from pathlib import Path

from tests.trainer.core.data.trees.tree import Tree, image, text


def tiny_imagenet(path: Path, layout: str = "raw") -> Tree:
    """Traps: an unsorted wnids.txt, a grey JPEG, a flat val with a label file, boxes beside images, an unlabelled test.

    `layout` is `raw`, `val` (class folders in val), `val-images` (class folders in val with images/ in each) or
    `train-test` (LLF's tree).
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
    else:  # scripts that rearrange val leave an empty folder and the annotations behind
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


def folder(path: Path, layout: str = "whole") -> Tree:
    """Traps: a notebook's hidden copy of an image, a text file among images, a deeper folder.

    `layout` is `whole` for a tree without splits, or the names of the splits joined by `-`.
    """
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
