"""One spec of several: arms merged by name, each once, and evaluations of equal settings made one."""

import json
from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]
_PARTS = ("data", "model", "train")
_OF_DATA = ("lr", "schedule")
"""Of a recipe, what a named one would decide for the paper's data alone."""


def composed(parts: Mapping[str, Spec]) -> Spec:
    """The spec that asks for all that `parts`, by name of the preset, ask for. Its own data, model and recipe are the first's.

    An arm of a part that has others carries them itself, of the recipe what differs, and with data of its own always the
    learning rate and the schedule: another named recipe of the whole then says nothing of them. Raises ValueError where two
    parts use one name for arms with different settings.
    """
    first = next(iter(parts.values()))
    common = {part: first[part] for part in _PARTS}
    arms: dict[str, Spec] = {}
    owner: dict[str, str] = {}
    judged: dict[str, dict[str, set[int]]] = {}
    tables: list[Any] = []
    for name, spec in parts.items():
        for arm in spec["arms"]:
            written = _written(spec, arm, common, name)
            there = arms.setdefault(arm["name"], written)
            owner.setdefault(arm["name"], name)
            if there != written:
                differing = [key for key in there | written if there.get(key) != written.get(key)]
                raise ValueError(
                    f"{owner[arm['name']]} and {name} both have an arm {arm['name']!r}, with different {', '.join(differing)}: "
                    "give one of them another name"
                )
        for evaluation in spec["evaluations"]:
            found = judged.setdefault(json.dumps(evaluation["evaluator"]), {})
            for arm_name in evaluation["arms"]:
                found.setdefault(arm_name, set()).update(evaluation["on"])
        tables += spec["tables"]
    evaluations = [each for text, found in judged.items() for each in _evaluations(json.loads(text), found)]
    return common | {"arms": list(arms.values()), "evaluations": evaluations, "tables": tables}


def _written(spec: Spec, arm: Spec, common: Spec, name: str) -> Spec:
    """`arm` of the preset `name` as it is written below `common`: with what it has of its own there."""
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


def _evaluations(evaluator: Spec, judged: dict[str, set[int]]) -> list[Spec]:
    """One for each set of generations that some arms have in common."""
    arms: dict[tuple[int, ...], list[str]] = {}
    for arm, generations in judged.items():
        arms.setdefault(tuple(sorted(generations)), []).append(arm)
    return [{"evaluator": evaluator, "arms": names, "on": list(generations)} for generations, names in arms.items()]
