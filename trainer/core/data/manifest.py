"""The file `manifest.json` of a cache. It is written last, so that a folder without it is not a cache."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from trainer.core.data.errors import DataProblem
from trainer.core.data.images import OnBadImage
from trainer.core.data.recipes import Recipe, canonical
from trainer.core.mistakes import wording

MANIFEST, SCHEMA = "manifest.json", 1
PARTS = ("images.npy", "labels.npy", "items.txt")

_STRICT = ConfigDict(extra="forbid")

SplitName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]
Triple = tuple[float, float, float]


@dataclass(frozen=True, config=_STRICT)
class FoundArchive:
    """An archive that the data was unpacked from. `known_good` is None if no digest was published for it."""

    name: str
    bytes: int
    md5: str
    sha256: str
    known_good: bool | None


@dataclass(frozen=True, config=_STRICT)
class Source:
    """The origin of the pixels.

    `listing_sha256` covers items, labels and classes, but not pixels. `label_files` maps paths to sha256 digests.
    """

    root: str
    layout: str
    listing_sha256: str
    on_bad_image: OnBadImage
    reader: bool
    """Whether items are names for the listing's `read` instead of image files."""
    archives: tuple[FoundArchive, ...] = ()
    label_files: Mapping[str, str] = Field(default_factory=dict)
    content_sha256: str = ""
    """The digest of every image as it lies in the source. It is empty in caches of earlier versions."""


@dataclass(frozen=True, config=_STRICT)
class SplitRecord:
    """The record of one split.

    Row i of the images `[n, 3, S, S]`, row i of the labels and line i of the items (`PARTS`) describe the same image.
    """

    n: Annotated[int, Field(ge=1)]
    expected_n: int | None
    source_split: str
    class_counts: tuple[int, ...]
    images_bytes: int
    labels_bytes: int
    items_bytes: int
    images_sha256: str
    labels_sha256: str
    items_sha256: str
    channel_mean: Triple
    channel_std: Triple
    modes: Mapping[str, int] = Field(default_factory=dict)
    """The number of images by mode, for those that were not RGB."""
    upscaled: int = 0
    skipped: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()


@dataclass(frozen=True, config=_STRICT)
class Manifest:
    """The content of `manifest.json`.

    `partial` says that some of the data set's images are missing. `variant` is the name of a subset list, if any.
    """

    dataset: str
    variant: str
    recipe: Recipe
    recipe8: str
    source: Source
    classes: tuple[str, ...]
    class_ids: tuple[str, ...]
    splits: Mapping[SplitName, SplitRecord]
    partial: bool
    problems: tuple[str, ...]
    created: str
    tool_version: str
    licence: str
    schema: Literal[1] = 1

    def digest(self) -> str:
        """Returns the sha256 of what training sees: recipe, classes, pixels and labels.

        Time, place and file names of the source do not count.
        """
        splits = {name: [each.images_sha256, each.labels_sha256] for name, each in self.splits.items()}
        content = [self.schema, asdict(self.recipe), self.classes, splits]
        return hashlib.sha256(canonical(content).encode()).hexdigest()

    def payload(self) -> bytes:
        return _MANIFEST.dump_json(self, indent=1)


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def read_manifest(directory: Path) -> Manifest:
    """Reads the manifest of the cache in `directory` without checking the files. Raises DataProblem E_CACHE."""
    path = directory / MANIFEST
    try:
        raw = path.read_bytes()
        schema = dict(json.loads(raw)).get("schema")
    except OSError as error:
        raise bad_cache(path, f"cannot be read ({error.strerror}), so the folder is no whole cache") from error
    except (ValueError, TypeError) as error:
        raise bad_cache(path, f"is not a manifest: {error}") from error
    if schema != SCHEMA:
        raise bad_cache(path, f"has schema {schema}, this version reads {SCHEMA}")
    try:
        manifest = _MANIFEST.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise bad_cache(path, f"is not a manifest: {where}: {wording(first)}") from error
    if manifest.recipe.key != manifest.recipe8:
        raise bad_cache(path, f"names recipe {manifest.recipe8}, and holds one whose key is {manifest.recipe.key}")
    return manifest


def bad_cache(path: Path, what: str) -> DataProblem:
    """Returns DataProblem E_CACHE for one file, with the remedy to prepare the data set again."""
    return DataProblem("E_CACHE", f"{path} {what}; delete the folder {path.parent} and prepare the data set again")


def warnings_of(records: Mapping[str, SplitRecord]) -> list[str]:
    """Returns the warnings W_MODE and W_UPSCALED of each split, with counts."""
    found = []
    for split, record in records.items():
        if record.modes:
            modes = ", ".join(f"mode {mode} {count:,}" for mode, count in record.modes.items())
            found.append(f"W_MODE: {split}: converted to RGB: {modes}")
        if record.upscaled:
            found.append(f"W_UPSCALED: {split}: {record.upscaled:,} images are smaller than the recipe's pixels")
    return found
