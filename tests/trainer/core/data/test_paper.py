"""Prepared data as a spec names it: its names, its requirements, and that its content is fixed by the spec."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.trainer.core.data.trees import BUILDERS
from trainer.core import data
from trainer.core.data import DataProblem, recipes
from trainer.core.data.paper import FolderTree, PaperData, cache_root
from trainer.core.data.prepare.pipeline import prepare
from trainer.run import run
from trainer.spec import parse


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def ready(name: str, tmp_path: Path, recipe: str, folder: str | None = None) -> None:
    tree = BUILDERS[name](tmp_path / "source" / name)
    prepare(folder or name, tree.root, cache_root(), recipes.named(recipe, name), allow_partial=True)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("digits", {"name": "digits"}),
        ("eurosat", {"name": "eurosat"}),
        ("eurosat@cdfsl-64", {"name": "eurosat", "recipe": "cdfsl-64"}),
        ("folder:my-birds@probe-64", {"name": "folder", "tree": "my-birds", "recipe": "probe-64"}),
        ("isic2018+0123abcd", {"name": "isic2018", "subset": "0123abcd"}),
        (
            "cub200@probe-224#" + "a" * 64 + "!partial",
            {"name": "cub200", "recipe": "probe-224", "digest": "a" * 64, "partial": True},
        ),
    ],
)
def test_a_target_is_written_as_text_and_back(text: str, fields: dict[str, object]) -> None:
    spec = data.named(text)
    assert spec.model_dump(exclude_defaults=True) | {"name": spec.name} == fields
    assert spec.text() == text


@pytest.mark.parametrize("text", ["eurosats", "eurosat@cdfsl-65", "eurosat@", "folder", "digits@probe-64", "a b", ""])
def test_other_texts_are_no_data_set(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        data.named(text)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("tiny-imagenet", "native"),
        ("cifar100", "native"),
        ("cub200", "probe-64"),
        ("chestx", "cdfsl-224"),
        ("eurosat", "cdfsl-224"),
    ],
)
def test_the_recipe_follows_the_use_in_the_paper(name: str, recipe: str) -> None:
    spec = data.named(name)
    assert isinstance(spec, PaperData)
    assert spec.chosen_recipe == recipe


def test_what_is_not_prepared_names_the_command_that_prepares_it(root: Path) -> None:
    message = data.named("eurosat").problem()
    assert (
        message
        == f"E_NOT_PREPARED: eurosat is not in {root}: relearn data prepare eurosat --recipe cdfsl-224 --from DIR"
    )
    assert "--tree birds" in (FolderTree(name="folder", tree="birds").problem() or "")
    with pytest.raises(DataProblem, match="E_NOT_PREPARED"):
        data.named("eurosat").load()


def test_tiny_imagenet_trains_with_crop_and_flip_and_is_tested_on_the_official_val(tmp_path: Path) -> None:
    ready("tiny-imagenet", tmp_path, "probe-64")  # the images of the small tree are no 64 px
    spec = data.named("tiny-imagenet@probe-64")
    loaded = spec.load()
    assert (len(loaded.train), len(loaded.test), loaded.shift, loaded.flip) == (12, 6, 4, True)
    assert (sum(spec.train_sizes()), spec.test_size()) == (12, 6)
    assert loaded.mean == (0.485, 0.456, 0.406)
    assert loaded.train.images_NCHW.shape[1:] == (3, 64, 64)
    assert loaded.train.images_NCHW.dtype == torch.uint8


def test_a_data_set_without_splits_is_training_images_alone(tmp_path: Path) -> None:
    ready("eurosat", tmp_path, "cdfsl-64")
    spec = data.named("eurosat@cdfsl-64")
    loaded = spec.load()
    assert (len(loaded.train), len(loaded.test), spec.test_size(), spec.smallest_class()) == (30, 0, 0, 3)
    assert loaded.test.images_NCHW.shape == (0, 3, 64, 64)


def test_a_resolved_spec_says_which_content_and_that_it_is_partial(tmp_path: Path) -> None:
    ready("eurosat", tmp_path, "cdfsl-64")
    resolved = data.named("eurosat@cdfsl-64").resolved()
    assert isinstance(resolved, PaperData)
    assert (resolved.recipe, resolved.partial, len(resolved.digest)) == ("cdfsl-64", True, 64)
    assert data.named(resolved.text()) == resolved
    assert resolved.resolved() == resolved
    assert (resolved.label, data.named("eurosat").label, data.named("eurosat@cdfsl-224").label) == (
        "eurosat.cdfsl-64.partial",
        "eurosat",
        "eurosat",
    )


def test_other_content_than_the_spec_was_posted_for_is_refused(tmp_path: Path, root: Path) -> None:
    ready("folder", tmp_path, "probe-64", "folder/pets")
    resolved = data.named("folder:pets").resolved()
    shutil.rmtree(root)
    tree = BUILDERS["folder"](tmp_path / "other")
    Image.new("RGB", (24, 20)).save(
        next(path for path in tree.own.rglob("*.*") if path.name == Path(tree.lossless[0]).name), "PNG"
    )
    prepare("folder/pets", tree.root, root, recipes.named("probe-64", "folder"))
    assert data.named("folder:pets").problem() is None
    assert "the spec was posted for" in (resolved.problem() or "")


def test_a_node_keeps_a_verified_copy_of_its_own(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready("eurosat", tmp_path, "cdfsl-64")
    spec = data.named("eurosat@cdfsl-64")
    shared = spec.load().train.images_NCHW.clone()
    monkeypatch.setenv("RELEARN_DATA_LOCAL", str(tmp_path / "local"))
    assert isinstance(spec, PaperData)
    opened = spec.opened()
    assert opened.directory.parent == tmp_path / "local"
    assert torch.equal(spec.load().train.images_NCHW, shared)
    assert sorted(path.name for path in opened.directory.iterdir()) == [
        "all.images.npy",
        "all.items.txt",
        "all.labels.npy",
        "manifest.json",
    ]
    before = (opened.directory / "manifest.json").stat().st_ino
    assert spec.opened().directory == opened.directory
    assert (opened.directory / "manifest.json").stat().st_ino == before


def test_a_copy_that_does_not_verify_is_not_kept(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready("eurosat", tmp_path, "cdfsl-64")
    (images,) = root.rglob("all.images.npy")
    with images.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    monkeypatch.setenv("RELEARN_DATA_LOCAL", str(tmp_path / "local"))
    with pytest.raises(DataProblem, match=r"E_CACHE.*sha256"):
        data.named("eurosat@cdfsl-64").load()
    assert [path for path in (tmp_path / "local").iterdir() if path.is_dir()] == []


def test_training_on_data_without_a_test_split_reports_no_test_accuracy(tmp_path: Path) -> None:
    ready("eurosat", tmp_path, "cdfsl-64")
    raw = {
        "data": {"name": "eurosat", "recipe": "cdfsl-64"},
        "model": {"name": "resnet-digits", "width": 4},
        "train": {"generations": 1, "epochs": 1},
        "method": {"name": "normal"},
    }
    (row,) = run(parse(json.dumps(raw)), torch.device("cpu"))
    assert "test/accuracy" not in row.metrics
    assert 0 <= row.metrics["train/accuracy_eval"] <= 1
