"""What is known of each data set before a file of it is opened: sizes, archives, licence, usual training transform.

The facts themselves are in facts.toml, beside this module.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", strict=True)
_PACKED = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True, config=_STRICT)
class Archive:
    """A file that the authors distribute. A size or digest that they do not publish is None."""

    name: str
    url: str
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None

    @property
    def packed(self) -> bool:
        """Whether it is to be unpacked; a label file that is fetched on its own is not."""
        return self.name.endswith(_PACKED)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Facts:
    """Counts are of the complete data as the paper uses it (its Table 3, section 4.1 for Tiny-ImageNet)."""

    name: str
    classes: int | None = None
    """None where every tree has its own."""
    splits: Mapping[str, int]
    """Images of each split; empty where every tree has its own."""
    archives: tuple[Archive, ...]
    licence: str
    login: bool
    """Whether the archives can only be fetched by somebody who is signed in."""
    paper_use: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    native_px: tuple[int, int] | None = None
    """Width and height; None where they differ from image to image."""
    pad: int
    """Training pads each side by this many px of the native size and crops at random."""
    flip: bool
    """Training mirrors half of the images."""
    cdfsl: bool = False
    """One of the four few-shot targets of CD-FSL, which alone take a subset list."""
    class_counts: Mapping[str, int] | None = None
    """Images of each class over all splits, by class id, where known."""


def read(path: Path) -> dict[str, Facts]:
    """The facts in a TOML file, by data set. Raises ValueError where a field is missing, unknown or of another type."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    named = {name: {"name": name, **table} for name, table in tables.items()}
    # by way of JSON, whose arrays may become tuples; pydantic's strict mode refuses Python lists for them
    return TypeAdapter(dict[str, Facts]).validate_json(json.dumps(named))


FACTS = read(Path(__file__).with_name("facts.toml"))
