"""Experiments to start from: one JSON file each, with the spec, what it assumes, and its version.

A spec names one as `{"preset": "paper/table-2"}` (or `paper/table-2@1`, which only that version may answer); whatever else
it says takes the place of the preset's.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from orchestrator.problems import Problem, nearest


@dataclass(frozen=True)
class Preset:
    """A named, versioned spec. `version` is raised by hand when the spec changes."""

    name: str
    version: int
    about: str
    spec: dict[str, Any]

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "about": self.about, "spec": self.spec}


@cache
def known() -> dict[str, Preset]:
    """Every preset by name."""
    found = {}
    for folder in files(__package__).iterdir():
        if folder.is_dir() and not folder.name.startswith("_"):
            for file in sorted(folder.iterdir(), key=lambda each: each.name):
                if file.name.endswith(".json"):
                    document = json.loads(file.read_text())
                    name = f"{folder.name}/{file.name.removesuffix('.json')}"
                    found[name] = Preset(name, document["version"], document["about"], document["spec"])
    return found


def expand(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """`raw` on the preset that it names, and what is wrong with that name. A resolved spec is not expanded again."""
    reference = raw.get("preset")
    if not isinstance(reference, str) or "arms" in raw:
        return raw, []
    name, _, version = reference.partition("@")
    preset = known().get(name)
    if preset is None:
        message = f"{name!r} is not a preset; `relearn presets` lists them"
        return raw, [Problem("/preset", "UNKNOWN_VALUE", message, nearest(name, list(known())))]
    if version and version != str(preset.version):
        message = f"{name!r} has version {preset.version} here, not {version!r}: the results would not be those of that version"
        return raw, [Problem("/preset", "UNKNOWN_VALUE", message, preset.reference)]
    own_train = raw["train"] if isinstance(raw.get("train"), dict) else {}
    train = {"train": preset.spec.get("train", {}) | own_train} if "train" not in raw or own_train else {}
    return preset.spec | raw | train | {"preset": preset.reference}, []
