"""Prepared data sets as a spec names them. A digest, filled in when the spec is posted, fixes the content."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field

from trainer.core.data.cache import Opened, find, open_cache
from trainer.core.data.dataset import Dataset, Split
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS
from trainer.core.data.holdout import held_out, held_size
from trainer.core.data.node_copy import localised
from trainer.core.data.recipes import named

RecipeName = Literal["native", "train-64", "probe-64", "probe-224", "cdfsl-64", "cdfsl-224"]
_SOURCES = ("tiny-imagenet", "cifar10", "cifar100")


def cache_root() -> Path:
    """Returns the folder of prepared data: RELEARN_DATA, or `data` in RELEARN_HOME. Every node must see it."""
    return Path(os.environ.get("RELEARN_DATA") or Path(os.environ.get("RELEARN_HOME", ".relearn")) / "data").absolute()


class _Prepared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    recipe: RecipeName | None = Field(
        None,
        description="how files become pixels; by default native for tiny-imagenet and CIFAR, "
        "cdfsl-224 for CD-FSL's four sets, else probe-64",
    )
    subset: str = Field(
        "", pattern="^([0-9a-f]{8})?$", description="first 8 hex digits of the subset list's sha256, if one was used"
    )
    digest: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="of the pixels and labels; filled in when the spec is posted"
    )

    partial: bool = Field(
        False, description="whether images are missing that the data set has; filled in when the spec is posted"
    )
    holdout: float = Field(
        0, ge=0, lt=1, description="share of each class's training images that stands in for the test set"
    )

    @property
    def folder(self) -> str:
        """The folder of the data set, relative to the root of the cache."""
        return self.name

    @property
    def chosen_recipe(self) -> RecipeName:
        if self.recipe is not None:
            return self.recipe
        if self.name in _SOURCES:
            return "native"
        facts = FACTS.get(self.name)
        return "cdfsl-224" if facts is not None and facts.cdfsl else "probe-64"

    @property
    def label(self) -> str:
        """The name of the data set in tables: NAME[.RECIPE][.SUBSET][.partial][.holdoutSHARE].

        The recipe is left out if it is the default one.
        """
        usual = self.model_copy(update={"recipe": None}).chosen_recipe == self.chosen_recipe
        held = f"holdout{self.holdout:g}" if self.holdout else ""
        parts = ("" if usual else self.chosen_recipe, self.subset, "partial" if self.partial else "", held)
        return ".".join([self.folder.replace("/", ":"), *filter(None, parts)])

    def problem(self) -> str | None:
        """Returns why the data cannot be used and the command that helps, or None if it can be used."""
        try:
            self.opened()
        except (DataProblem, ValueError) as problem:
            return str(problem)
        return None

    def resolved(self) -> Self:
        """Returns the spec with recipe, digest and `partial` filled in. Raises DataProblem if it is not prepared."""
        manifest = self.opened().manifest
        found = {"recipe": self.chosen_recipe, "digest": manifest.digest(), "partial": manifest.partial}
        return self.model_copy(update=found)

    def opened(self) -> Opened:
        """Opens the cache after checking its sizes. Raises DataProblem E_NOT_PREPARED or E_CACHE."""
        recipe = named(self.chosen_recipe, self.name)
        directory = find(cache_root(), self.folder, recipe, self.subset)
        if directory is None:
            raise DataProblem("E_NOT_PREPARED", f"{self.text()} is not in {cache_root()}: {self.command()}")
        directory = localised(directory)
        opened = _opened(directory, (directory / "manifest.json").stat().st_mtime_ns)
        if self.digest and opened.manifest.digest() != self.digest:
            found = opened.manifest.digest()
            raise DataProblem(
                "E_CACHE",
                f"{directory} has digest {found[:12]}, the spec was posted for {self.digest[:12]}: "
                "prepare that data again",
            )
        return opened

    def command(self) -> str:
        """Returns the command that prepares the data set."""
        subset = " --subset LIST.csv" if self.subset else ""
        return f"relearn data prepare {self.name} --recipe {self.chosen_recipe}{subset} --from DIR"

    def text(self) -> str:
        """Returns the text of an evaluator's target: NAME[:TREE][@RECIPE][+SUBSET][%HOLDOUT][#DIGEST][!partial]."""
        held = repr(self.holdout) if self.holdout else ""
        partial = "partial" if self.partial else ""
        parts = (("@", self.recipe), ("+", self.subset), ("%", held), ("#", self.digest), ("!", partial))
        return self.folder.replace("/", ":") + "".join(f"{sign}{part}" for sign, part in parts if part)

    def class_names(self) -> tuple[str, ...]:
        return self.opened().manifest.classes

    def pixels(self) -> int:
        """Returns the side of the images in pixels."""
        return int(self.opened().manifest.recipe.size)

    def train_sizes(self) -> list[int]:
        """Returns the number of training images of each class."""
        return [size - held_size(size, self.holdout) for size in self._pool_sizes()]

    def _pool_sizes(self) -> list[int]:
        """Returns the number of training images of each class before any is held out."""
        splits = self.opened().manifest.splits
        return list((splits.get("train") or splits["all"]).class_counts)

    def smallest_class(self) -> int:
        """Returns the number of images, train and test together, of the smallest class, which bounds an episode."""
        if self.holdout:
            return min(self._pool_sizes())
        used = [split.class_counts for name, split in self.opened().manifest.splits.items() if name != "val"]
        counts: list[int] = [sum(of_class) for of_class in zip(*used, strict=True)]
        return min(counts)

    def test_size(self) -> int:
        """Returns the number of test images, or of the held-out images that replace them.

        It is 0 if the data set has no splits of its own.
        """
        if self.holdout:
            return sum(held_size(size, self.holdout) for size in self._pool_sizes())
        splits = self.opened().manifest.splits
        images: int = splits["test"].n if "test" in splits else 0
        return images

    def load(self) -> Dataset:
        """Returns the images, which are mapped from disk, or copied to memory if some are held out.

        If the data set has no splits of its own, all are training images. Raises DataProblem.
        """
        opened = self.opened()
        facts = FACTS[self.name]
        size = opened.manifest.recipe.size
        train = opened.splits.get("train") or opened.splits["all"]
        nothing = Split(torch.empty(0, 3, size, size, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        native = facts.native_px == (size, size)
        whole = Dataset(
            self.name,
            opened.manifest.classes,
            train,
            opened.splits.get("test", nothing),
            facts.mean,
            facts.std,
            shift=facts.pad if native else 0,
            flip=facts.flip,
        )
        return held_out(whole, self.holdout)


class PaperData(_Prepared):
    """One of the paper's twelve data sets, prepared by `relearn data prepare`."""

    name: Literal[
        "tiny-imagenet",
        "cifar10",
        "cifar100",
        "flowers102",
        "cub200",
        "aircraft",
        "mit67",
        "dogs",
        "chestx",
        "isic2018",
        "eurosat",
        "cropdisease",
    ]


class FolderTree(_Prepared):
    """A class-per-folder tree of the user's own, prepared by `relearn data prepare folder --tree NAME`."""

    name: Literal["folder"]
    tree: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="the name it was prepared under")

    @property
    def folder(self) -> str:
        return f"folder/{self.tree}"

    def command(self) -> str:
        return f"{super().command()} --tree {self.tree}"


_TEXT = re.compile(
    r"(?P<name>[a-z0-9-]+)(:(?P<tree>[a-z0-9._-]+))?(@(?P<recipe>[a-z0-9-]+))?"
    r"(\+(?P<subset>\w+))?(%(?P<holdout>[0-9.e-]+))?(#(?P<digest>\w+))?(!(?P<partial>partial))?"
)


def fields_of(text: str) -> dict[str, Any] | None:
    """Returns the fields of a data spec from a target's text, or None if the text does not have the form of a target.

    Raises ValueError if the held-out share is not a number.
    """
    if (match := _TEXT.fullmatch(text)) is None:
        return None
    fields: dict[str, Any] = {field: value for field, value in match.groupdict().items() if value is not None}
    if "holdout" in fields:
        fields["holdout"] = float(fields["holdout"])
    return fields | ({"partial": True} if "partial" in fields else {})


@cache
def _opened(directory: Path, _written: int) -> Opened:
    return open_cache(directory)
