"""Composes one spec from several: arms are merged by name, and evaluations with equal settings become one."""

import json
from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]
_PARTS = ("data", "model", "train")
_OF_DATA = ("lr", "schedule")
"""The fields of `train` that a named recipe sets for the paper's data only."""


def composed(parts: Mapping[str, Spec]) -> Spec:
    """The spec that asks for everything that `parts`, specs by the name of their preset, ask for.

    Its data, model and recipe are those of the first part. An arm of another part carries its own data and model where
    they differ, and the fields of its recipe that differ. An arm with its own data always carries the learning rate and
    schedule too, so that a named recipe for the whole spec does not change them. Raises ValueError where two parts have
    arms of one name with different settings, or where a recipe lacks a field that the first part's has.
    """
    first = next(iter(parts.values()))
    common = {part: first[part] for part in _PARTS}
    arms: dict[str, Spec] = {}
    owner: dict[str, str] = {}
    evaluated: dict[str, dict[str, set[int]]] = {}
    tables: list[Any] = []
    for name, spec in parts.items():
        for arm in spec["arms"]:
            written = _written(spec, arm, common, name)
            there = arms.setdefault(arm["name"], written)
            owner.setdefault(arm["name"], name)
            if there != written:
                differing = [key for key in there | written if there.get(key) != written.get(key)]
                raise ValueError(
                    f"{owner[arm['name']]} and {name} both have an arm {arm['name']!r}, "
                    f"with different {', '.join(differing)}: give one of them another name"
                )
        for evaluation in spec["evaluations"]:
            found = evaluated.setdefault(json.dumps(evaluation["evaluator"]), {})
            for arm_name in evaluation["arms"]:
                found.setdefault(arm_name, set()).update(evaluation["on"])
        tables += spec["tables"]
    evaluations = [each for text, found in evaluated.items() for each in _evaluations(json.loads(text), found)]
    return common | {"arms": list(arms.values()), "evaluations": evaluations, "tables": tables}


def _written(spec: Spec, arm: Spec, common: Spec, name: str) -> Spec:
    """`arm` of the preset `name` as a spec with the settings `common` states it: with what differs from them."""
    own: Spec = {}
    for part in ("data", "model"):
        if (wanted := arm.get(part, spec[part])) != common[part]:
            own[part] = wanted
    train = spec["train"] | arm.get("train", {})
    if missing := common["train"].keys() - train.keys():
        raise ValueError(
            f"the recipe of {name} must say {', '.join(sorted(missing))}, which would else be another preset's"
        )
    kept = _OF_DATA if "data" in own else ()
    if differing := {key: value for key, value in train.items() if key in kept or value != common["train"].get(key)}:
        own["train"] = differing
    return {key: value for key, value in arm.items() if key not in _PARTS} | own


def _evaluations(evaluator: Spec, evaluated: dict[str, set[int]]) -> list[Spec]:
    """One evaluation for each distinct set of generations in `evaluated`, with the arms that have this set."""
    arms: dict[tuple[int, ...], list[str]] = {}
    for arm, generations in evaluated.items():
        arms.setdefault(tuple(sorted(generations)), []).append(arm)
    return [{"evaluator": evaluator, "arms": names, "on": list(generations)} for generations, names in arms.items()]
