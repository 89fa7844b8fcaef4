"""The origin of the numbers: settings, versions, machines, digests of data, and which row trained each network."""

import json
import platform
from collections.abc import Iterator
from typing import Any

from orchestrator.report import model
from orchestrator.report.source import Source
from orchestrator.results import summary
from orchestrator.versions import installed_version


def experiment(source: Source) -> model.Experiment:
    """The facts about an experiment as a whole: its names, state, times, seeds and plan."""
    row, spec = source.experiment, source.spec
    times = summary(row)
    return model.Experiment(
        source.id,
        row.name,
        source.label,
        spec.get("title"),
        spec.get("preset"),
        row.state,
        row.reason,
        row.message,
        times["created_at"],
        times["started_at"],
        times["finished_at"],
        tuple(spec["seeds"]),
        row.plan,
        tuple(spec["evaluations"]),
    )


def provenance(sources: list[Source], details: list[dict[str, Any]]) -> model.Provenance:
    """The provenance of all `sources`. `details` are the details of the evaluations that the report shows."""
    prints = {
        json.dumps(each["fingerprint"], sort_keys=True): each["fingerprint"]
        for each in details
        if "fingerprint" in each
    }
    texts = {str(each[name]) for each in details for name in ("source", "target") if name in each}
    return model.Provenance(
        installed_version("relearn") or "unknown",
        platform.python_version(),
        tuple(prints[key] for key in sorted(prints)),
        {name: digest for name, _, digest in sorted(text.partition("#") for text in texts) if digest},
        tuple(_settings(source, arm) for source in sources for arm in source.arms),
        tuple(each for source in sources for each in _generations(source)),
    )


def _settings(source: Source, arm: str) -> model.ArmSettings:
    described = source.arms[arm]
    parts = {"data": source.part(arm, "data"), "model": source.part(arm, "model")}
    if checkpoint := described.get("checkpoint"):
        parts["checkpoint"] = checkpoint
    else:
        parts |= {"method": described.get("method") or {}, "train": source.part(arm, "train")}
        if described.get("fork"):
            parts["fork"] = described["fork"]
    return model.ArmSettings(source.label, arm, dict(_flat("", parts)))


def _flat(prefix: str, settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _generations(source: Source) -> Iterator[model.Generation]:
    for use in source.uses:
        if use.kind != "evaluation":
            here = f"{source.id}/{use.arm}/seed{use.seed}/"
            made_by = use.made_by
            yield model.Generation(
                source.label,
                use.arm,
                use.seed,
                use.generation,
                use.key,
                use.state,
                use.cached,
                made_by,
                made_by is not None and not made_by.startswith(here),
            )
