"""Facts that a reader must know before trusting a number: footnotes of tables and notices at the top."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator import presets
from orchestrator.report.source import Sample, Source
from orchestrator.states import TERMINAL, ExperimentState

DEFAULT_HESSIAN_EXAMPLES = 10_000
"""Training images of a Hessian spectrum that is not reduced."""
PROTOCOL_EPISODES = 600
"""Episodes of a few-shot evaluation that is not reduced."""
_SHOWN = 10
"""The notices list at most this many failures of an experiment."""


def of_samples(samples: Iterable[Sample]) -> Iterator[str]:
    """Yields the footnotes of a table: the evaluators' own notes, what was reduced, and the digests of the data.

    A note may be repeated.
    """
    digests: dict[str, None] = {}
    seen: set[str] = set()
    for sample in samples:
        for row in sample.rows.values():
            if row["node"] in seen:
                continue
            seen.add(row["node"])
            noted = [f"{sample.evaluator}: {note}" for note in row["details"].get("notes", ())]
            yield from noted
            yield from _reduced(sample, row["details"].get("settings", {}), noted)
            if target := row["details"].get("target"):
                digests[shortened(target)] = None
    if digests:
        yield f"Data, by digest: {', '.join(digests)}."


def shortened(target: str) -> str:
    """`NAME#DIGEST` with the first twelve digits of the digest."""
    name, _, digest = target.partition("#")
    return f"{name}#{digest[:12]}" if digest else name


def _reduced(sample: Sample, settings: dict[str, Any], noted: list[str]) -> Iterator[str]:
    _, *parts = sample.dataset.split(".")
    if "partial" in parts:
        yield f"{sample.dataset}: partial data, some images that the data set has were missing."
    if any(re.fullmatch("[0-9a-f]{8}", part) for part in parts):
        yield f"{sample.dataset}: a subset of the images, chosen by a list."
    if (kept := settings.get("train_per_class")) is not None:
        yield f"{sample.evaluator}: reduced to {kept} training images per class."
    episodes = settings.get("episodes")
    if (
        sample.evaluator == "few-shot"
        and episodes
        and episodes < PROTOCOL_EPISODES
        and not any("reduced" in s for s in noted)
    ):
        yield f"few-shot: reduced run: {episodes} of the protocol's {PROTOCOL_EPISODES} episodes"
    examples = settings.get("examples")
    if sample.evaluator == "hessian-spectrum" and examples and examples < DEFAULT_HESSIAN_EXAMPLES:
        yield f"hessian-spectrum: reduced to {examples} training images of the usual {DEFAULT_HESSIAN_EXAMPLES:,}."


def notices(sources: list[Source]) -> Iterator[str]:
    """Yields the notices: small or partial data, settings that differ from the preset, unfinished or failed work."""
    small = sorted({label for source in sources for label in source.trained_on.values() if label.startswith("digits")})
    if small:
        yield (
            f"This report shows the mechanism on small data, not the paper's numbers: {', '.join(small)} "
            f"{'are' if len(small) > 1 else 'is'} cut from the 1,797 built-in images of handwritten digits."
        )
    partial = sorted(
        {label for source in sources for label in source.trained_on.values() if "partial" in label.split(".")}
    )
    if partial:
        yield f"Trained on partial data (images of the data set are missing): {', '.join(partial)}."
    for source in sources:
        if changed := ", ".join(_changed(source)):
            made = "Made" if len(sources) == 1 else f"{source.label}: made"
            printed = (
                ": the printed values are not of this setting"
                if any(table.published for table in source.tables)
                else ""
            )
            yield f"{made} from {source.spec['preset']} with other {changed}{printed}."
        state, name = source.experiment.state, source.label
        if state not in TERMINAL:
            yield f"{name} is {state}: this report is preliminary, and what is not measured yet is shown as –."
        elif state != ExperimentState.SUCCEEDED:
            why = f" ({source.experiment.reason})" if source.experiment.reason else ""
            message = f": {source.experiment.message}" if source.experiment.message else ""
            yield f"{name} {state}{why}{message}. What was not measured is shown as –."
        for failure in source.failures[:_SHOWN]:
            yield f"{name}: {failure}"
        if (more := len(source.failures) - _SHOWN) > 0:
            yield f"{name}: {more} more nodes failed."


def _changed(source: Source) -> list[str]:
    """The settings that the spec's preset states and the spec has changed, such as `data`, `model` or `train.lr`.

    The list is empty where the spec has no preset, or one of another version.
    """
    reference = str(source.spec.get("preset") or "")
    preset = presets.known().get(reference.partition("@")[0])
    if preset is None or preset.reference != reference:  # the version that the spec was made from is not known here
        return []
    written, found = preset.expanded(), dict[str, None]()
    for arm in written["arms"]:
        if (ours := source.arms.get(arm["name"])) is None:
            found["arms"] = None
            continue
        for part in ("data", "model"):
            if not _holds(arm.get(part) or written[part], source.part(arm["name"], part)):
                found[part] = None
        train = source.part(arm["name"], "train")
        for field, value in (written["train"] | (arm.get("train") or {})).items():
            if not _holds(value, train.get(field)):
                found[f"train.{field}"] = None
        rest = {field: value for field, value in arm.items() if field not in ("data", "model", "train")}
        taken_over = [field for field in ("checkpoint", "fork") if ours.get(field) and not arm.get(field)]
        if taken_over or not _holds(rest, ours):
            found["arms"] = None
    return list(found)


def _holds(written: Any, resolved: Any) -> bool:
    """Whether `resolved` has every value that was `written`; it may have more, because defaults are filled in."""
    if isinstance(written, dict):
        return isinstance(resolved, dict) and all(_holds(value, resolved.get(name)) for name, value in written.items())
    return bool(written == resolved)


def warnings(sources: list[Source]) -> Iterator[str]:
    """Yields the warnings of training, each sentence once per arm with the number of times it was repeated."""
    for source in sources:
        counted: dict[tuple[str, str], list[str]] = {}
        for row in source.warnings:
            for message in row.warnings:
                kind = re.sub(r"[\d.]+", "#", message)  # the same sentence with other numbers
                counted.setdefault((row.arm, kind), []).append(message)
        for (arm, _), messages in counted.items():
            more = f" (and {len(messages) - 1} more like it)" if len(messages) > 1 else ""
            yield f"{source.label}/{arm}: {messages[0]}{more}"
