"""Finds methods and evaluators of other installed packages through entry points. Only installed code is imported."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from pathlib import Path
from sys import modules
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field


@dataclass(frozen=True)
class Plugin:
    """A class that an installed package offers. `kind` is None if it cannot be used, and `problem` says why."""

    name: str
    package: str
    version: str
    kind: type[BaseModel] | None = None
    code_sha256: str | None = None
    """The digest of the code as this process loaded it. It is part of the content keys, and a passed check is valid
    only for this digest."""
    problem: str | None = None


@dataclass(frozen=True)
class Registry:
    """What a spec may name of one kind of part: relearn's own classes, and those that installed packages offer."""

    plugins: dict[str, Plugin]
    """By name, also those that cannot be used."""
    kinds: dict[str, Any]
    """All usable classes (subclasses of the base) by name, relearn's own first."""
    union: Any
    """The union of all usable classes."""
    spec: Any
    """The union as the type of a field, told apart by `name`."""


def registry(
    group: str, base: type[BaseModel], own: Iterable[type[BaseModel]], reserved: Iterable[str] = ()
) -> Registry:
    """Returns relearn's `own` classes and the plug-ins of an entry point group, none of which has a reserved name."""
    ours = {str(kind.model_fields["name"].default): kind for kind in own}
    plugins = discover(group, base, {*ours, *reserved})
    kinds = ours | {name: plugin.kind for name, plugin in plugins.items() if plugin.kind is not None}
    union: Any = Union[tuple(kinds.values())]  # noqa: UP007  its members are known only now
    return Registry(plugins, kinds, union, Annotated[union, Field(discriminator="name")])


def discover(group: str, base: type[BaseModel], taken: set[str]) -> dict[str, Plugin]:
    """Returns the plug-ins of the entry point group `group` by name. A name in `taken` is refused."""
    offers: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        offers.setdefault(point.name, []).append(point)
    return {name: _load(points, base, taken) for name, points in sorted(offers.items())}


def code_sha256(kind: type) -> str:
    """Returns the sha256 over all Python files of the package that defines `kind`, as they are on disk now.

    Other packages are not included. A module outside any package counts as one file. Raises ValueError for a class that
    no file defines.
    """
    steps = kind.__module__.split(".")
    for end in range(1, len(steps) + 1):  # the outermost package with a file: namespaces are shared among packages
        module = modules[".".join(steps[:end])]
        if file := getattr(module, "__file__", None):
            root = Path(file)
            files = {root, *root.parent.rglob("*.py")} if hasattr(module, "__path__") else {root}
            digest = hashlib.sha256()
            for path in sorted(files):
                content = path.read_bytes()
                digest.update(f"{path.relative_to(root.parent)} {len(content)}\n".encode() + content)
            return digest.hexdigest()
    raise ValueError(f"no file defines {kind.__module__}.{kind.__qualname__}")


def _load(points: list[EntryPoint], base: type[BaseModel], taken: set[str]) -> Plugin:
    point = points[0]
    packages = sorted({each.dist.name if each.dist else "unknown" for each in points})
    package, version = ", ".join(packages), point.dist.version if point.dist else "unknown"

    def refused(problem: str) -> Plugin:
        return Plugin(point.name, package, version, problem=problem)

    if point.name in taken:
        return refused(f"{point.name!r} is the name of one of relearn's own: give it another")
    if len(points) > 1:
        return refused(f"{point.name!r} is offered more than once (by {package}): uninstall all but one")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", point.name):
        return refused(f"{point.name!r} is no name: use lower-case letters, digits, . _ - (64 at most)")
    try:
        kind = point.load()
        if not (isinstance(kind, type) and issubclass(kind, base)) or isabstract(kind):
            return refused(f"{point.value} is not a complete subclass of {base.__module__}.{base.__qualname__}")
        field = kind.model_fields.get("name")
        tags = get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()
        if field is None or tags != (point.name,) or field.default != point.name:
            return refused(f"{point.value} must have the field name: Literal[{point.name!r}] = {point.name!r}")
        kind.model_json_schema()
        return Plugin(point.name, package, version, kind=kind, code_sha256=code_sha256(kind))
    except (Exception, SystemExit) as error:  # foreign code may raise anything, and the service must survive it
        return refused(f"{point.value} cannot be loaded: {type(error).__name__}: {error}")
