"""Experiments to start from: the tables and figures of the SEAL paper, and a small version of each on digits.

A spec names a preset as `{"preset": "paper/table-2"}`, or as `paper/table-2@1`, which is refused unless the preset has
that version. Every other field of the spec replaces the preset's; the recipe `train` is replaced field by field.

The folder `paper` has a JSON file for each preset: its version, what it is about, and its spec, in which the notes of a
table are keys of `open_settings.NOTES`. Instead of arms, evaluations and tables, a file may list the presets that it
`includes`. The presets of `digits` are computed from those of `paper` (see `twins`).
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from orchestrator.presets.compose import composed
from orchestrator.presets.open_settings import NOTES
from orchestrator.presets.twins import CHANGES, twin
from orchestrator.problems import Problem, nearest
from trainer.spec import OFFICIAL_CODE

_WRITTEN_OUT = {"data", "model", "train", "arms", "evaluations"}
"""The fields of a spec that was expanded before. It is left as it is, and `preset` only records its origin."""


@dataclass(frozen=True)
class Preset:
    """A named, versioned spec. `version` is raised by hand when the spec changes."""

    name: str
    version: int
    about: str
    spec: dict[str, Any]

    @property
    def reference(self) -> str:
        """The name with the version, such as `paper/table-2@1`."""
        return f"{self.name}@{self.version}"

    def expanded(self) -> dict[str, Any]:
        """The spec as it may be posted, with a name and the reference of the preset."""
        return {"name": self.name.replace("/", "-"), "preset": self.reference} | self.spec

    def summary(self) -> dict[str, Any]:
        """The entry of the preset in a list: name, version and what it is about."""
        return {"name": self.name, "version": self.version, "about": self.about}

    def as_json(self) -> dict[str, Any]:
        """The whole preset: its summary and its expanded spec."""
        return self.summary() | {"spec": self.expanded()}


@cache
def known() -> dict[str, Preset]:
    """Every preset by name, the paper's first. Raises ValueError where included presets contradict each other."""
    documents = {
        f"paper/{file.name.removesuffix('.json')}": json.loads(file.read_text(encoding="utf-8"))
        for file in files(__package__).joinpath("paper").iterdir()
        if file.name.endswith(".json")
    }
    paper = {name: _read(name, documents) for name in sorted(documents, key=_natural)}
    return paper | {small.name: small for small in map(_twin_of, paper.values())}


def expand(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The spec `raw` with the fields of the preset that it names filled in, and the problems with that name.

    A spec without a preset, a spec that was expanded before, and one whose preset is not known are returned unchanged.
    """
    reference = raw.get("preset")
    if not isinstance(reference, str) or raw.keys() >= _WRITTEN_OUT:
        return raw, []
    name, _, version = reference.partition("@")
    preset = known().get(name)
    if preset is None:
        message = f"{name!r} is not a preset; `relearn presets` lists them"
        return raw, [Problem("/preset", "UNKNOWN_VALUE", message, nearest(name, list(known())))]
    if version and version != str(preset.version):
        message = (
            f"{name!r} has version {preset.version} here, not {version!r}: "
            "the results would not be those of that version"
        )
        return raw, [Problem("/preset", "UNKNOWN_VALUE", message, preset.reference)]
    spec = preset.expanded() | raw | {"preset": preset.reference}
    if isinstance(own := raw.get("train"), dict):
        spec["train"] = _below(own, preset.spec) | own
    return spec, []


def _below(own: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a preset's `spec`, without the fields that the recipe `official-code` sets if `own` asks for it.

    The released code trains on Tiny-ImageNet, so a preset with other data keeps its learning rate and schedule.
    """
    train: dict[str, Any] = spec["train"]
    decides = own.get("recipe") == "official-code" and spec["data"]["name"] == "tiny-imagenet"
    return _without(train, OFFICIAL_CODE) if decides else train


def _without(train: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    """`train` without the fields of `decided`; nested fields are removed one by one."""
    return {
        field: _without(value, decided[field]) if isinstance(value, dict) and field in decided else value
        for field, value in train.items()
        if field not in decided or isinstance(value, dict)
    }


def _read(name: str, documents: dict[str, Any]) -> Preset:
    document = documents[name]
    spec = document["spec"]
    if includes := document.get("includes"):
        spec = spec | composed({each: _read(each, documents).spec for each in includes})
    else:
        tables = [table | {"notes": [NOTES[key] for key in table["notes"]]} for table in spec["tables"]]
        spec = spec | {"tables": tables}
    return Preset(name, document["version"], document["about"], spec)


def _twin_of(preset: Preset) -> Preset:
    about = (
        f"A small version of {preset.name} on the built-in digits: the mechanism in minutes, not the paper's numbers."
    )
    seeds = [0] if preset.name == "paper/all" else [0, 1, 2]
    name = preset.name.replace("paper/", "digits/")
    return Preset(name, preset.version + CHANGES, about, twin(preset.spec, seeds))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts table-2 before table-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
