"""A capsule: a document that states how to repeat an experiment, and its results, sealed with its own digest."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator import results
from orchestrator.plan import digest
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.store import Store
from orchestrator.store.records import Experiment, NodeUse
from orchestrator.versions import installed_version
from trainer.core.mistakes import wording

FORMAT = 1
MAX_BYTES = 8 * 1024 * 1024
"""The largest capsule that may be posted, in bytes."""
PACKAGES = ("relearn", "torch", "torchvision", "ray", "mlflow", "numpy")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Measured(_Part):
    """One score with its 95 % interval and the number `n` of values that it averages, where they are known."""

    value: float | None
    low: float | None
    high: float | None
    n: int | None


class Done(_Part):
    """One node and its outcome. `judged_sha256` is the digest of the weights that its results describe."""

    title: str
    kind: Literal["generation", "checkpoint", "evaluation"]
    key: str
    state: str
    made_by: str | None
    weights_sha256: str | None
    judged_sha256: str | None
    fingerprint: dict[str, str | int | bool] | None
    version: int | None
    settings: dict[str, Any] | None
    source: str | None
    target: str | None
    digests: dict[str, str]
    results: dict[str, Measured]


class Outcome(_Part):
    """The experiment as a whole: its names, state and times."""

    id: str
    name: str
    state: str
    reason: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None


class Capsule(_Part):
    """A whole capsule. `sha256` is the digest of all other fields.

    `nodes` are in plan order, each once: seed by seed and arm by arm, generations before their evaluations.
    """

    relearn_capsule: int
    generated_at: str
    experiment: Outcome
    spec: dict[str, Any]
    versions: dict[str, str]
    data: list[str]
    episodes: list[str]
    nodes: list[Done]
    sha256: str


def capsule_of(store: Store, experiment: Experiment, now: float) -> Capsule:
    """The experiment's capsule as it stands at `now` (seconds since the epoch)."""
    nodes = list(_nodes(store, experiment))
    content = {
        "relearn_capsule": FORMAT,
        "generated_at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "experiment": {name: value for name, value in results.summary(experiment).items() if name != "message"},
        "spec": experiment.spec,
        "versions": versions(),
        "data": sorted({text for node in nodes for text in (node.source, node.target) if text}),
        "episodes": sorted({found for node in nodes for found in node.digests.values()}),
        "nodes": [node.model_dump(mode="json") for node in nodes],
    }
    return Capsule.model_validate(content | {"sha256": digest(content)})


def is_capsule(raw: object) -> bool:
    """Whether a posted document is a capsule rather than a spec."""
    return isinstance(raw, dict) and "relearn_capsule" in raw


def opened(raw: Mapping[str, Any]) -> Capsule:
    """The posted capsule `raw`, after its seal is verified.

    Raises InvalidSpec for another format, for content changed since its export, and for fields of wrong types.
    """
    if raw.get("relearn_capsule") != FORMAT:
        message = f"this version reads capsules of format {FORMAT}, got {str(raw.get('relearn_capsule'))[:100]!r}"
        raise InvalidSpec([Problem("/relearn_capsule", "UNKNOWN_VALUE", message)])
    if (found := digest({name: part for name, part in raw.items() if name != "sha256"})) != raw.get("sha256"):
        message = (
            f"the content has sha256 {found}: it was changed since it was exported; post what stands under spec instead"
        )
        raise InvalidSpec([Problem("/sha256", "CONTRADICTION", message)])
    try:
        return Capsule.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "".join(f"/{step}" for step in first["loc"])
        raise InvalidSpec(
            [Problem(pointer, "WRONG_TYPE", f"{wording(first)}: no capsule of format {FORMAT}")]
        ) from error


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on, as installed where the capsule is made."""
    return {"python": platform.python_version()} | {
        name: installed_version(name) or "not installed" for name in PACKAGES
    }


def _nodes(store: Store, experiment: Experiment) -> Iterator[Done]:
    identity = experiment.id
    stored, machines = store.nodes_of(identity), store.machines_of(identity)
    scores: dict[str, dict[str, Measured]] = {}
    about: dict[str, tuple[str, str]] = {}
    for row in results.result_rows(store, experiment):
        score = Measured(value=row["value"], low=row["low"], high=row["high"], n=row["n"])
        scores.setdefault(row["node"], {})[row["metric"]] = score
        about[row["node"]] = row["evaluator"], row["dataset"]
    details = store.details_of(identity)
    uses = store.uses_of(identity)
    trained = {_place(use): use.key for use in uses if use.kind != "evaluation"}
    ordered = sorted(uses, key=lambda use: _order(use, experiment.spec, about, details))
    for use in _first_of_each(ordered):
        key, recorded = use.key, details.get(use.key, {})
        yield Done(
            title=_title(use, about),
            kind=use.kind,
            key=key,
            state=stored[key].state.value,
            made_by=stored[key].made_by,
            weights_sha256=stored[key].weights_sha256,
            judged_sha256=stored[trained[_place(use)]].weights_sha256,
            fingerprint=recorded.get("fingerprint") or machines.get(key),
            version=recorded.get("version"),
            settings=recorded.get("settings"),
            source=recorded.get("source"),
            target=recorded.get("target"),
            digests=recorded.get("digests", {}),
            results=dict(sorted(scores.get(key, {}).items())),
        )


def _place(use: NodeUse) -> tuple[str, int, int]:
    return use.arm, use.seed, use.generation


def _order(
    use: NodeUse, spec: Mapping[str, Any], about: Mapping[str, tuple[str, str]], details: Mapping[str, Any]
) -> Any:
    """A sort key that puts nodes in plan order, and evaluations of one title in the order of their settings.

    The key of a node comes last, because it changes with the version of the code.
    """
    arms = [arm["name"] for arm in spec["arms"]]
    settings = digest({"settings": details.get(use.key, {}).get("settings")})
    row = spec["seeds"].index(use.seed), arms.index(use.arm)
    return *row, use.kind == "evaluation", use.generation, *about.get(use.key, ("", "")), settings, use.key


def _first_of_each(uses: Iterable[NodeUse]) -> Iterator[NodeUse]:
    seen = set()
    for use in uses:
        if use.key not in seen:
            seen.add(use.key)
            yield use


def _title(use: NodeUse, about: Mapping[str, tuple[str, str]]) -> str:
    if use.kind == "checkpoint":
        return f"{use.arm}/weights"
    title = f"{use.arm}/seed{use.seed}/g{use.generation}"
    if use.kind == "generation":
        return title
    return "/".join([title, *about.get(use.key, ("not judged",))])
