"""The order of rows and classes, what is noted beside them, and torchvision's own loaders as another channel."""

from pathlib import Path

from tests.trainer.core.data import trees
from tests.trainer.core.data.sources.builders import label_of, listing
from tests.trainer.core.data.trees import BUILDERS
from trainer.core.data.sources.listing import Listing


def test_rows_are_in_the_order_of_the_label_file(tmp_path: Path) -> None:
    for name in ("cub200", "mit67", "flowers102", "isic2018", "chestx", "aircraft", "dogs"):
        BUILDERS[name](tmp_path / name)
    first = {
        name: listing(name, tmp_path / name).splits for name in ("cub200", "mit67", "flowers102", "isic2018", "chestx")
    }
    assert [Path(item).name for item in first["cub200"]["train"].items] == [
        "Red_Winged_Blackbird_0046_18.jpg",
        "Black_Footed_Albatross_0002_55.jpg",
        "Laysan_Albatross_0070_788.jpg",
    ]
    assert first["mit67"]["test"].items[0] == "Images/bar/bar_0421.jpg"
    assert first["flowers102"]["train"].items == ("jpg/image_00008.jpg", "jpg/image_00003.jpg")
    assert first["isic2018"]["all"].labels == (0, 1, 1, 5, 6, 2)
    assert first["chestx"]["all"].labels == (1, 3, 0, 6, 4, 5, 2, 3)
    assert listing("aircraft", tmp_path / "aircraft").splits["train"].labels == (1, 0, 2, 3)
    assert listing("dogs", tmp_path / "dogs").splits["train"].labels == (2, 0, 1, 3)


def test_rows_without_a_label_file_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    items = listing("eurosat", trees.eurosat(tmp_path).root).splits["all"].items
    assert items == tuple(sorted(items))
    assert items[:3] == ("AnnualCrop/AnnualCrop_1.jpg", "AnnualCrop/AnnualCrop_10.jpg", "AnnualCrop/AnnualCrop_2.jpg")


def test_class_ids_are_the_sources_own(tmp_path: Path) -> None:
    assert listing("tiny-imagenet", trees.tiny_imagenet(tmp_path / "t").root).class_ids == (
        "n02124075",
        "n04067472",
        "n01443537",
    )
    assert listing("cub200", trees.cub200(tmp_path / "c").root).class_ids == ("1", "2", "10")
    assert listing("flowers102", trees.flowers102(tmp_path / "f").root).class_ids[::101] == ("1", "102")
    assert listing("dogs", trees.dogs(tmp_path / "d").root).class_ids[0] == "n02085620-Chihuahua"


def test_without_wnids_the_classes_are_sorted_and_that_is_noted(tmp_path: Path) -> None:
    tree = trees.tiny_imagenet(tmp_path)
    (tree.own / "wnids.txt").unlink()
    (tree.own / "words.txt").unlink()
    found = listing("tiny-imagenet", tree.root)
    assert found.classes == found.class_ids == ("n01443537", "n02124075", "n04067472")
    assert "no wnids.txt, so the classes are in sorted order (LLF's), not in SEAL's" in found.notes[0]
    assert label_of(found, "test", "val/images/val_1.JPEG") == 0


def test_a_net_trained_on_tiny_imagenet_has_seen_some_dogs(tmp_path: Path) -> None:
    (note,) = listing("dogs", trees.dogs(tmp_path).root).notes
    assert note.startswith("W_LEAKAGE: 2 classes are also in Tiny-ImageNet")
    assert note.endswith("n02099601-golden_retriever, n02113799-poodle")


def test_a_split_of_a_folder_may_lack_a_class_which_is_noted(tmp_path: Path) -> None:
    tree = trees.folder(tmp_path, "train-test")
    for path in (tmp_path / "test" / "ape").rglob("*.*"):
        path.unlink() if path.is_file() else None
    found = listing("folder", tree.root)
    assert found.splits["test"].labels == (1, 1)
    assert found.notes == ("W_CLASSES: test holds no image of ape",)


def test_macs_and_notebooks_leave_no_classes_behind(tmp_path: Path) -> None:
    tree = trees.folder(tmp_path)
    trees.image(tmp_path / "__MACOSX" / "zebra" / "1.png", "PNG")
    trees.image(tmp_path / "zebra" / "._1.png", "PNG")
    assert listing("folder", tree.root).classes == tree.classes
    assert len(listing("folder", tree.root).splits["all"].items) == 4


def test_torchvision_finds_the_same_rows(tmp_path: Path) -> None:
    from torchvision import datasets

    def rows(found: Listing, split: str) -> set[tuple[str, int]]:
        both = found.splits[split]
        return {(str(found.root / item), label) for item, label in zip(both.items, both.labels, strict=True)}

    tree = trees.eurosat(tmp_path / "e", "eurosat/2750")
    assert rows(listing("eurosat", tree.root), "all") == set(datasets.EuroSAT(tree.root).samples)
    tree = trees.cropdisease(tmp_path / "c")
    assert rows(listing("cropdisease", tree.root), "all") == set(
        datasets.ImageFolder(tmp_path / "c/dataset/train").samples
    )
    tree = trees.aircraft(tmp_path / "a")
    for split in ("train", "val", "test"):
        theirs = datasets.FGVCAircraft(tree.root, split=split)
        found = listing("aircraft", tree.root)
        ours = [
            (str(found.root / item), label) for item, label in zip(*vars(found.splits[split]).values(), strict=True)
        ]
        assert ours == list(zip(theirs._image_files, theirs._labels, strict=True))
        assert list(found.classes) == theirs.classes
