"""Garbage collection: lists or removes the checkpoints and folders that no experiment needs any more.

Checkpoints are first marked as removed in the database, in one transaction that no submission overlaps, and deleted
afterwards. A crash in between leaves checkpoints that no node refers to, which the next garbage collection finds.
"""

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.checkpoints.folders import KEYED, RAY, REMOVED, Folders
from orchestrator.checkpoints.retention import Folder, reason_to_remove, reasons_to_keep
from orchestrator.store import Store
from orchestrator.store.records import Holdings

GRACE_S = 7 * 86_400.0
"""The default grace period, in seconds."""


class Artifacts(Protocol):
    """The storage of committed checkpoints; `tracking.mlflow.Tracker` implements it."""

    def checkpoints(self, run_id: str) -> list[str]:
        """Returns the URIs of the checkpoints of a run; an empty list if the run does not exist."""
        ...

    def size(self, uri: str) -> int:
        """Returns the size of a checkpoint in bytes."""
        ...

    def delete(self, uri: str) -> None:
        """Deletes a checkpoint."""
        ...


@dataclass(frozen=True)
class Scope:
    """The limits of a garbage collection. Raises ValueError if the grace period is negative.

    It only considers what is older than `grace_s` seconds at the time `now` (seconds since the epoch) and, if
    `experiment` is given, belongs to that experiment.
    """

    now: float
    grace_s: float = GRACE_S
    experiment: str | None = None

    def __post_init__(self) -> None:
        if self.grace_s < 0:
            raise ValueError(f"the grace period must be >= 0 s, got {self.grace_s:g}")


@dataclass(frozen=True)
class Removal:
    """One thing to remove. `what` is the title of the node that made it, a URI, or a folder of the storage."""

    what: str
    why: str
    bytes: int
    key: str | None = None
    uri: str | None = None


@dataclass(frozen=True)
class Report:
    """What a garbage collection would remove, or removed if `deleted` is true.

    `kept` counts the committed checkpoints that are kept, by reason.
    """

    deleted: bool
    checkpoints: list[Removal]
    leftovers: list[Removal]
    """Checkpoints in the tracking server that no node refers to."""
    folders: list[Removal]
    kept: dict[str, int]

    @property
    def bytes(self) -> int:
        """The total size of everything listed, in bytes."""
        return sum(each.bytes for each in (*self.checkpoints, *self.leftovers, *self.folders))

    def as_json(self) -> dict[str, Any]:
        """Returns the report as the API answers it."""
        return asdict(self) | {"bytes": self.bytes}


def survey(store: Store, storage: Path, artifacts: Artifacts, scope: Scope) -> Report:
    """Lists what a garbage collection would remove. Removes nothing."""
    holdings = store.holdings()
    reasons = _reasons(holdings, scope)
    nodes = holdings.nodes
    checkpoints = [
        Removal(
            what=nodes[key].made_by or key,
            why="no experiment needs it",
            bytes=artifacts.size(uri),
            key=key,
            uri=uri,
        )
        for key, why in reasons.items()
        if why is None and (uri := nodes[key].uri)
    ]
    found = [uri for run in _ended_runs(holdings, scope) for uri in artifacts.checkpoints(run)]
    leftovers = [
        Removal(uri, "no node refers to it", artifacts.size(uri), uri=uri)
        for uri in _unreferenced(found, store.holdings())
    ]
    folders = [Removal(path, why, _size(storage / path)) for path, why in _folders(storage, holdings, scope).items()]
    return Report(
        deleted=False,
        checkpoints=checkpoints,
        leftovers=leftovers,
        folders=folders,
        kept=dict(Counter(why for why in reasons.values() if why)),
    )


def collect_garbage(store: Store, storage: Path, artifacts: Artifacts, scope: Scope) -> Report:
    """Removes what `survey` lists, if it may still be removed at that moment, and reports what was removed."""
    found = survey(store, storage, artifacts, scope)
    removed: dict[str, list[Removal]] = {}
    aside = Folders(storage).removed / secrets.token_hex(8)

    def choose(holdings: Holdings) -> list[str]:
        reasons, folders = _reasons(holdings, scope), _folders(storage, holdings, scope)
        unreferenced = set(_unreferenced([each.what for each in found.leftovers], holdings))
        removed["checkpoints"] = [each for each in found.checkpoints if reasons.get(each.key or "", "unknown") is None]
        removed["leftovers"] = [each for each in found.leftovers if each.what in unreferenced]
        removed["folders"] = [each for each in found.folders if each.what in folders]
        for number, each in enumerate(removed["folders"]):
            aside.mkdir(parents=True, exist_ok=True)
            (storage / each.what).rename(aside / str(number))
        return [each.key for each in removed["checkpoints"] if each.key]

    store.forget_checkpoints(choose)
    shutil.rmtree(aside, ignore_errors=True)
    for each in (*removed["checkpoints"], *removed["leftovers"]):
        assert each.uri is not None
        artifacts.delete(each.uri)
    return Report(
        deleted=True,
        checkpoints=removed["checkpoints"],
        leftovers=removed["leftovers"],
        folders=removed["folders"],
        kept=found.kept,
    )


def _reasons(holdings: Holdings, scope: Scope) -> dict[str, str | None]:
    """Maps the key of each committed checkpoint in the scope to the reason why it is kept, or to None."""
    in_scope = {each.key for each in holdings.shown if scope.experiment in (None, each.experiment)}
    return {key: why for key, why in reasons_to_keep(holdings, scope.now, scope.grace_s).items() if key in in_scope}


def _ended_runs(holdings: Holdings, scope: Scope) -> Iterator[str]:
    """Yields the runs of experiments that ended before the grace period, to which no driver uploads any more."""
    for experiment, runs in holdings.runs.items():
        ended_at = holdings.experiments[experiment].ended_at
        if ended_at is not None and scope.now - ended_at >= scope.grace_s and scope.experiment in (None, experiment):
            yield from runs


def _unreferenced(uris: list[str], holdings: Holdings) -> list[str]:
    """Returns the `uris` that no node of the database refers to."""
    referred = {each.uri for each in holdings.shown}
    return [uri for uri in uris if uri not in referred]


def _folders(storage: Path, holdings: Holdings, scope: Scope) -> dict[str, str]:
    """Maps each folder to remove, by its path relative to the storage, to the reason why it may be removed."""
    names = {scope.experiment} | {each.key for each in holdings.shown if each.experiment == scope.experiment}
    found = {}
    for part in (*KEYED, RAY, REMOVED):
        for path in sorted((storage / part).glob("*")):
            folder = Folder(f"{part}/{path.name}", path.stat().st_mtime)
            why = reason_to_remove(folder, holdings, scope.now, scope.grace_s)
            if why and (scope.experiment is None or any(name and name in path.name for name in names)):
                found[folder.path] = why
    return found


def _size(folder: Path) -> int:
    """Returns the size in bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
