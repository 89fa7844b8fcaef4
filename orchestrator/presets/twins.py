"""Twins: small versions of the paper's presets on the built-in digits, which take minutes instead of GPU weeks.

A twin has the arms, rows and columns of its preset, from which it is computed, so the two cannot diverge. It shows the
mechanism; its numbers are not the paper's.
"""

import re
from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]

CHANGES = 0
"""The number of changes to this module, raised by hand. A twin's version is the sum of its preset's and this."""
_DATA: dict[str, Spec] = {
    "tiny-imagenet": {"name": "digits-noisy", "train_per_class": 30, "label_noise": 0.4},
    "cifar100": {"name": "digits-noisy", "train_per_class": 30, "label_noise": 0.2},
}
_WIDTH = {"resnet50": 16, "resnet18": 8, "resnet110-cifar": 12, "resnet18-cifar": 8}
"""The width of the small ResNet that stands for each network of the paper."""
_GENERATIONS = {10: {0: 0, 1: 1, 2: 1, 3: 2, 9: 3}, 11: {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 10: 5}, 2: {0: 0, 1: 1}}
"""For each length of a run in the paper, the twin's generation for each one that the paper evaluates."""
_TARGETS = {
    "flowers102": "digits-inverted",
    "cub200": "digits-rot90",
    "aircraft": "digits-edges",
    "mit67": "digits-0-4",
    "dogs": "digits-5-9",
    "chestx": "digits-edges",
    "isic2018": "digits-rot90",
    "eurosat": "digits-inverted",
    "cropdisease": "digits-5-9",
}
_LAYERS = {"layer1": "layer1", "layer2": "layer2", "layer3": "layer3", "layer4.1": "layer4", "fc": "fc"}
"""The layers of the small network, which has one block per stage and so no layers inside a stage."""
_SHOTS = {1: 1, 5: 5, 20: 10, 50: 20}
_SMALLER: dict[str, Spec] = {
    "linear-probe": {"train_per_class": 10},
    "few-shot": {"episodes": 100},
    "hessian-spectrum": {"examples": 64},
}
_ADAPTING = {"episodes": 20, "epochs": 10}
"""The size of few-shot evaluations that train more than a head, which cost a hundred times as much."""
_EPOCHS = 10
"""Epochs of the paper that one epoch of a twin stands for."""
_TRAIN = {"batch_size": 32, "lr": 0.05, "evaluate_every": 4}
_ASCENT_SCALE = 2.0
"""S of a twin. The sum of lr x S over the steps of an ascent decides how much is forgotten.

An ascent has 40 steps here and 125,000 in the paper.
"""
_WORDS = {
    "Tiny-ImageNet": "noisy digits",
    "CIFAR-100": "less noisy digits",
    "ResNet-50": "a small ResNet (width 16)",
    "ResNet-18": "a small ResNet (width 8)",
    "ResNet-110": "a small ResNet (width 12)",
    "CD-FSL": "other versions of the digits",
    "five image sets": "other versions of the digits",
    "five other image sets": "other versions of the digits",
    " at seven layers": " by layer",
    " with 20 and 50 images": " with 10 and 20 images",
    "20 and 50 shots": "10 and 20 shots",
    " after 1, 3 and 10 generations": " over generations",
    " after 1, 2, 4 and 10 generations": " over generations",
}
_NOTES = [
    "The preset shows the mechanism on real digits, some with deliberately wrong labels: the numbers are not the "
    "paper's, nor evidence for them.",
    "The preset's epochs are a tenth of the paper's, its generations 4 for 10 and 6 for 11, its S is 2 instead of 0.01 "
    "(a much shorter ascent must step further to forget), its learning rate 0.05, and small ResNets stand for the "
    "paper's networks.",
]
_TRANSFER_NOTE = "The preset's targets are the same digits transformed, or half of their classes: not other images."
_FEW_SHOT_NOTE = "The preset's episodes that adapt BatchNorm too are 20 of 10 epochs; the paper's are 600 of 100."


def twin(spec: Spec, seeds: list[int]) -> Spec:
    """The spec on digits for the `spec` of a paper preset."""
    runs = {arm["name"]: (spec["train"] | arm.get("train", {}))["generations"] for arm in spec["arms"]}
    return {
        "title": f"{_in_words(spec['title'])} (small version on digits)",
        "data": _DATA[spec["data"]["name"]],
        "model": _model(spec["model"]),
        "train": _train(spec["train"]) | _TRAIN,
        "arms": [_arm(arm) for arm in spec["arms"]],
        "seeds": seeds,
        "evaluations": [_evaluation(each, runs) for each in spec["evaluations"]],
        "tables": [_table(each, runs) for each in spec["tables"]],
    }


def _model(model: Spec) -> Spec:
    return {"name": "resnet-digits", "width": _WIDTH[model["name"]]}


def _train(train: Spec) -> Spec:
    """The small version of a recipe, or of the fields of it that an arm states itself."""
    small = train | {field: value for field, value in _TRAIN.items() if field in train}
    if "epochs" in train:
        small["epochs"] = _epochs(train["epochs"])
    if "generations" in train:
        small["generations"] = max(_GENERATIONS[train["generations"]].values()) + 1
    if milestones := train.get("schedule", {}).get("milestones"):
        small["schedule"] = train["schedule"] | {"milestones": [_epochs(each) for each in milestones]}
    return small


def _epochs(epochs: int) -> int:
    return round(epochs / _EPOCHS)


def _arm(arm: Spec) -> Spec:
    method = arm["method"]
    if "layer_threshold" in method:
        method = method | {"layer_threshold": "layer3"}
    if "ascent_scale" in method:
        method = method | {"ascent_scale": _ASCENT_SCALE}
    own = {"data": lambda data: _DATA[data["name"]], "model": _model, "train": _train}
    return {"name": _arm_name(arm["name"]), "method": method} | {
        part: own[part](arm[part]) for part in own if part in arm
    }


def _arm_name(name: str) -> str:
    return re.sub(r"-e(\d+)$", lambda found: f"-e{_epochs(int(found[1]))}", name)


def _evaluation(evaluation: Spec, runs: dict[str, int]) -> Spec:
    evaluator = evaluation["evaluator"] | _SMALLER.get(evaluation["evaluator"]["name"], {})
    if evaluator.get("mode") == "linear+affines":
        evaluator |= _ADAPTING
    for field, small in (("targets", _TARGETS), ("layers", _LAYERS), ("shots", _SHOTS)):
        if field in evaluator:
            evaluator[field] = [small[each] for each in evaluator[field] if each in small]
    generations = _GENERATIONS[runs[evaluation["arms"][0]]]
    return {
        "evaluator": evaluator,
        "arms": [_arm_name(arm) for arm in evaluation["arms"]],
        "on": sorted({generations[generation] for generation in evaluation["on"]}),
    }


def _table(table: Spec, runs: dict[str, int]) -> Spec:
    arm = next(axis["arm"] for axis in table["rows"] + table["columns"] if "arm" in axis)
    generations = _GENERATIONS[runs[arm]]
    return {
        "name": _with_shots(table["name"]),
        "caption": _in_words(table["caption"]),
        "rows": [_axis(row, generations) for row in table["rows"] if _is_there(row, generations)],
        "columns": [_axis(column, generations) for column in table["columns"] if _is_there(column, generations)],
        "compare": table["compare"],
        "notes": [*_NOTES, *_notes(table)],
    }


def _notes(table: Spec) -> Iterator[str]:
    axes = table["rows"] + table["columns"]
    if any("dataset" in axis for axis in axes):
        yield _TRANSFER_NOTE
    if any("shot-affines" in axis.get("metric", "") for axis in axes):
        yield _FEW_SHOT_NOTE


def _is_there(axis: Spec, generations: dict[int, int]) -> bool:
    """Whether the twin has the generation and the layer that a row or column fixes."""
    layer, _, score = axis.get("metric", "").rpartition("/")
    return axis.get("generation", 0) in generations and (score != "knn_acc" or layer in _LAYERS)


def _axis(axis: Spec, generations: dict[int, int]) -> Spec:
    label, small = re.sub(r" \(printed.*\)$", "", axis["label"]), dict(axis)
    if "generation" in axis:
        small["generation"] = generations[axis["generation"]]
        shift = small["generation"] - axis["generation"]  # because tables count from 0 or from 1
        label = re.sub(r"(?<=[Gn]=)\d+", lambda number: str(int(number[0]) + shift), label)
    if "arm" in axis:
        small["arm"] = _arm_name(axis["arm"])
        label = re.sub(r"(?<=^E=)\d+", lambda number: str(_epochs(int(number[0]))), label)
    if "dataset" in axis:
        small["dataset"] = label = _TARGETS[axis["dataset"]]
    if "metric" in axis:
        layer, _, score = axis["metric"].rpartition("/")
        small["metric"] = f"{_LAYERS[layer]}/{score}" if score == "knn_acc" else _with_shots(axis["metric"])
        label = label.replace("Block4.1", "Block4")
    return small | {"label": _in_words(label)}


def _with_shots(text: str) -> str:
    return re.sub(r"\d+(?=-?shot)", lambda number: str(_SHOTS[int(number[0])]), text)


def _in_words(text: str) -> str:
    """`text` with the paper's data, networks and numbers replaced by those of the twin."""
    for word, instead in _WORDS.items():
        text = text.replace(word, instead)
    return _with_shots(text)
