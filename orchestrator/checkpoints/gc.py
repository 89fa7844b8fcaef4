"""Clean-up of checkpoints and of what ended experiments left behind: reports what would go, or removes it.

What goes is first marked in the database, in one transaction that no submission overlaps, and removed afterwards; a crash in
between leaves bytes that nothing refers to, which the next clean-up finds.
"""

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.checkpoints.folders import KEYED, RAY, REMOVED, Folders
from orchestrator.checkpoints.retention import Folder, folder_goes, stays
from orchestrator.store import Store
from orchestrator.store.records import Holdings

GRACE_S = 7 * 86_400.0


class Artifacts(Protocol):
    """Where committed checkpoints lie (`tracking.mlflow.Tracker`)."""

    def checkpoints(self, run_id: str) -> list[str]: ...
    def size(self, uri: str) -> int: ...
    def delete(self, uri: str) -> None: ...


@dataclass(frozen=True)
class Scope:
    """What is looked at: only what `experiment` shows, if one is given, and what is older than `grace_s` at time `now`."""

    now: float
    grace_s: float = GRACE_S
    experiment: str | None = None

    def __post_init__(self) -> None:
        if self.grace_s < 0:
            raise ValueError(f"the grace period must be >= 0 s, got {self.grace_s:g}")


@dataclass(frozen=True)
class Removal:
    """Something that goes. `what` is a node's maker, a URI or a folder of the storage."""

    what: str
    why: str
    bytes: int
    key: str | None = None
    uri: str | None = None


@dataclass(frozen=True)
class Report:
    """What goes, or went, and by reason how many committed checkpoints stay."""

    deleted: bool
    checkpoints: list[Removal]
    leftovers: list[Removal]
    """Checkpoints in the tracking server that no node refers to."""
    folders: list[Removal]
    kept: dict[str, int]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in (*self.checkpoints, *self.leftovers, *self.folders))

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"bytes": self.bytes}


def survey(store: Store, storage: Path, artifacts: Artifacts, scope: Scope) -> Report:
    """Finds what would go, and removes nothing."""
    holdings = store.holdings()
    reasons = _reasons(holdings, scope)
    nodes = holdings.nodes
    checkpoints = [
        Removal(nodes[key].made_by or key, "nobody needs it", artifacts.size(uri), key, uri)
        for key, why in reasons.items()
        if why is None and (uri := nodes[key].uri)
    ]
    found = [uri for run in _ended_runs(holdings, scope) for uri in artifacts.checkpoints(run)]
    leftovers = [
        Removal(uri, "no node refers to it", artifacts.size(uri), uri=uri)
        for uri in _unreferenced(found, store.holdings())
    ]
    folders = [Removal(path, why, _size(storage / path)) for path, why in _folders(storage, holdings, scope).items()]
    return Report(False, checkpoints, leftovers, folders, dict(Counter(why for why in reasons.values() if why)))


def clean(store: Store, storage: Path, artifacts: Artifacts, scope: Scope) -> Report:
    """Removes what `survey` finds, looked at again at the moment of removal, and reports what went."""
    found = survey(store, storage, artifacts, scope)
    gone: dict[str, list[Removal]] = {}
    aside = Folders(storage).removed / secrets.token_hex(8)

    def choose(holdings: Holdings) -> list[str]:
        reasons, folders = _reasons(holdings, scope), _folders(storage, holdings, scope)
        free = set(_unreferenced([each.what for each in found.leftovers], holdings))
        gone["checkpoints"] = [each for each in found.checkpoints if reasons.get(each.key or "", "gone") is None]
        gone["leftovers"] = [each for each in found.leftovers if each.what in free]
        gone["folders"] = [each for each in found.folders if each.what in folders]
        for number, each in enumerate(gone["folders"]):
            aside.mkdir(parents=True, exist_ok=True)
            (storage / each.what).rename(aside / str(number))
        return [each.key for each in gone["checkpoints"] if each.key]

    store.forget_checkpoints(choose)
    shutil.rmtree(aside, ignore_errors=True)
    for each in (*gone["checkpoints"], *gone["leftovers"]):
        assert each.uri is not None
        artifacts.delete(each.uri)
    return Report(True, gone["checkpoints"], gone["leftovers"], gone["folders"], found.kept)


def _reasons(holdings: Holdings, scope: Scope) -> dict[str, str | None]:
    mine = {each.key for each in holdings.shown if scope.experiment in (None, each.experiment)}
    return {key: why for key, why in stays(holdings, scope.now, scope.grace_s).items() if key in mine}


def _ended_runs(holdings: Holdings, scope: Scope) -> Iterator[str]:
    """Runs of experiments that ended longer ago than the grace period, so that nobody uploads to them any more."""
    for experiment, runs in holdings.runs.items():
        ended_at = holdings.experiments[experiment].ended_at
        if ended_at is not None and scope.now - ended_at >= scope.grace_s and scope.experiment in (None, experiment):
            yield from runs


def _unreferenced(uris: list[str], holdings: Holdings) -> list[str]:
    referred = {each.uri for each in holdings.shown}
    return [uri for uri in uris if uri not in referred]


def _folders(storage: Path, holdings: Holdings, scope: Scope) -> dict[str, str]:
    """Why each folder of the storage goes that does, by its path from there."""
    mine = {scope.experiment} | {each.key for each in holdings.shown if each.experiment == scope.experiment}
    found = {}
    for part in (*KEYED, RAY, REMOVED):
        for path in sorted((storage / part).glob("*")):
            folder = Folder(f"{part}/{path.name}", path.stat().st_mtime)
            why = folder_goes(folder, holdings, scope.now, scope.grace_s)
            if why and (scope.experiment is None or any(name and name in path.name for name in mine)):
                found[folder.path] = why
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
