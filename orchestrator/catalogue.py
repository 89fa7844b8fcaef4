"""The methods, evaluators, models and data sets that a spec may name on this installation.

A method of another package must pass a check before it is accepted. A pass is an entry of `checked_methods.json` in
the home folder and is valid only for the code that was checked.
"""

import inspect
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter

import evaluators
from orchestrator.versions import installed_version
from trainer import methods
from trainer.conformance import checks
from trainer.core import data
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS
from trainer.core.data.manifest import MANIFEST, read_manifest
from trainer.core.models import AnyModel
from trainer.core.plugins import Plugin, code_sha256

FILE = "checked_methods.json"


@dataclass(frozen=True)
class Entry:
    """A method, an evaluator or a model with its JSON schema.

    `checked` states whether an experiment with it is accepted, and `problem` why it is not. `own` is true if it belongs
    to relearn.
    """

    name: str
    description: str
    schema: dict[str, Any] | None
    package: str
    version: str
    own: bool
    checked: bool
    problem: str | None

    def as_json(self) -> dict[str, Any]:
        """Returns the entry as it is in the API's answer."""
        return asdict(self)


class Pass(BaseModel):
    """The record that the given code of a method passed its check at the given time."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    package: str
    version: str
    code_sha256: str
    checked_at: str


class UnknownMethod(ValueError):  # noqa: N818  the outcome's name
    """No installed package offers the method; the message lists the known methods."""


_PASSES = TypeAdapter(dict[str, Pass])


def known_methods(home: Path) -> list[Entry]:
    """Returns relearn's own methods and then those of other packages, including methods that cannot be used."""
    refused = unchecked(home)
    return _entries(methods.METHODS, methods.PLUGINS, refused)


def known_evaluators() -> list[Entry]:
    """Returns relearn's own evaluators and then those of other packages. Evaluators need no check."""
    return _entries(evaluators.EVALUATORS, evaluators.PLUGINS, {})


def known_models() -> list[Entry]:
    """Returns one entry for each name of a model; several names may share a schema."""
    kinds = {name: kind for kind in get_args(AnyModel) for name in get_args(kind.model_fields["name"].annotation)}
    return _entries(kinds, {}, {})


def unchecked(home: Path) -> dict[str, str]:
    """Returns the methods that experiments may not use here, by name, each with the reason and the remedy."""
    passes = _read(home)
    return {
        name: reason
        for name, plugin in methods.PLUGINS.items()
        if plugin.kind is not None and (reason := _reason(plugin, plugin.kind, passes.get(name)))
    }


def check_method(home: Path, name: str, now: datetime) -> list[checks.Finding]:
    """Checks a method, and stores its pass or deletes the former one.

    Raises UnknownMethod if no installed package offers it.
    """
    kind, plugin = methods.METHODS.get(name), methods.PLUGINS.get(name)
    if kind is None:
        if plugin is None or plugin.problem is None:
            raise UnknownMethod(
                f"no installed package offers a method {name!r}; known are {', '.join(methods.METHODS)}"
            )
        return [checks.Finding("loads", False, plugin.problem)]
    findings = checks.check_method(kind)
    if plugin is not None and plugin.code_sha256 is not None:
        passes = _read(home)
        passes.pop(name, None)
        if all(finding.passed for finding in findings):
            passes[name] = Pass(
                package=plugin.package,
                version=plugin.version,
                code_sha256=plugin.code_sha256,
                checked_at=now.isoformat(timespec="seconds"),
            )
        _write(home, passes)
    return findings


def _reason(plugin: Plugin, kind: type, passed: Pass | None) -> str | None:
    remedy = f"run `relearn check-method {plugin.name}`"
    try:
        there = code_sha256(kind)
    except OSError:
        return f"the code of {plugin.name!r} is gone: install it, {remedy}, and start the service again"
    if there != plugin.code_sha256:
        change = f"the code of {plugin.name!r} has changed since this process loaded it"
        return f"{change}: {remedy}, and start the service again"
    if passed is None:
        return (
            f"{plugin.name!r} of the package {plugin.package} has not passed its check on this installation: {remedy}"
        )
    if passed.code_sha256 != plugin.code_sha256:
        return f"the code of {plugin.name!r} has changed since it passed its check on {passed.checked_at}: {remedy}"
    return None


def _entries(
    kinds: Mapping[str, type[BaseModel]], plugins: Mapping[str, Plugin], refused: Mapping[str, str]
) -> list[Entry]:
    own_version = installed_version("relearn") or "unknown"
    found = []
    for name, kind in kinds.items():
        plugin = plugins.get(name)
        offered = plugin if plugin is not None and plugin.kind is kind else None
        found.append(
            Entry(
                name,
                inspect.cleandoc(kind.__doc__ or ""),
                kind.model_json_schema(),
                offered.package if offered else "relearn",
                offered.version if offered else own_version,
                own=offered is None,
                checked=name not in refused,
                problem=refused.get(name),
            )
        )
    broken = [each for each in plugins.values() if each.kind is None]
    return found + [
        Entry(
            each.name,
            "",
            None,
            each.package,
            each.version,
            own=False,
            checked=False,
            problem=each.problem,
        )
        for each in broken
    ]


def _read(home: Path) -> dict[str, Pass]:
    """Returns the stored passes, or none if the file is missing or malformed; methods are then checked again."""
    try:
        return _PASSES.validate_json((home / FILE).read_bytes())
    except (OSError, ValueError):
        return {}


def _write(home: Path, passes: dict[str, Pass]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / f".{FILE}.{os.getpid()}"
    temporary.write_bytes(_PASSES.dump_json(passes, indent=1))
    temporary.replace(home / FILE)


def known_datasets(cache_root: Path) -> list[dict[str, Any]]:
    """Returns one entry per data set that a spec may name; `prepared` lists its caches, complete or not."""
    return [_built_in(name) for name in data.names() if name not in FACTS] + [
        _paper(name, cache_root) for name in FACTS
    ]


def _built_in(name: str) -> dict[str, Any]:
    spec = data.named(name)
    splits = {"train": sum(spec.train_sizes()), "test": spec.test_size()}
    return {
        "name": name,
        "classes": len(spec.class_names()),
        "splits": splits,
        "use": "built in: real handwritten digits",
        "licence": "CC BY 4.0 (Alpaydin and Kaynak, UCI)",
        "login": False,
        "archives": [],
        "prepared": [],
        "ready": True,
    }


def _paper(name: str, cache_root: Path) -> dict[str, Any]:
    facts = FACTS[name]
    prepared = [_cache(manifest.parent) for manifest in sorted((cache_root / name).glob(f"**/{MANIFEST}"))]
    return {
        "name": name,
        "classes": facts.classes,
        "splits": dict(facts.splits),
        "use": facts.paper_use,
        "licence": facts.licence,
        "login": facts.login,
        "archives": [{"name": archive.name, "url": archive.url, "bytes": archive.bytes} for archive in facts.archives],
        "prepared": prepared,
        "ready": any("digest" in each for each in prepared),
    }


def _cache(directory: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(directory)
    except DataProblem as problem:
        return {"path": str(directory), "problem": str(problem)}
    return {
        "path": str(directory),
        "dataset": manifest.dataset,
        "size": manifest.recipe.size,
        "recipe8": manifest.recipe8,
        "subset": manifest.variant,
        "digest": manifest.digest(),
        "splits": {name: split.n for name, split in manifest.splits.items()},
        "bytes": sum(split.images_bytes + split.labels_bytes + split.items_bytes for split in manifest.splits.values()),
        "partial": manifest.partial,
        "problems": list(manifest.problems),
    }
