"""Objects for the tests of intake: an example spec, changes of it, and the problems that are reported."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import intake
from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.store import Store
from tests.orchestrator.builders import small
from trainer.core import models

HASH = "0" * 64
MISSING = object()
"""The value that removes a field in `changed`."""
Place = tuple[str, str, str | None]
"""The pointer, code and suggestion of a problem."""
EXAMPLE: dict[str, Any] = {
    "name": "digits",
    "data": {"name": "digits-noisy", "train_per_class": 30, "label_noise": 0.4},
    "model": {"name": "resnet-digits", "width": 16},
    "train": {"generations": 8, "epochs": 24, "lr": 0.05},
    "arms": [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "llf", "method": {"name": "llf"}},
        {"name": "seal", "method": {"name": "seal", "ascent_scale": 2.0}},
    ],
    "seeds": [0, 1, 2],
    "evaluations": [
        {"evaluator": {"name": "accuracy"}, "on": ["every"]},
        {"evaluator": {"name": "linear-probe", "targets": ["digits"], "train_per_class": 10}, "on": ["first", 7]},
        {"evaluator": {"name": "few-shot", "targets": ["digits-0-4", "digits"], "shots": [1, 5]}, "on": ["last"]},
        {"evaluator": {"name": "hessian-spectrum", "examples": 128}},
        {"evaluator": {"name": "prediction-depth"}},
    ],
}


def steps_of(pointer: str) -> list[str]:
    """Returns the unescaped steps of a JSON pointer."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def changed(*changes: tuple[str, Any], document: dict[str, Any] = EXAMPLE) -> dict[str, Any]:
    """Returns a copy of `document` with the values at JSON pointers replaced, or removed if they are MISSING."""
    document = copy.deepcopy(document)
    for pointer, value in changes:
        here: Any = document
        *path, last = steps_of(pointer)
        for step in path:
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        if value is MISSING:
            del here[last]
        elif isinstance(here, list):
            here[int(last)] = value
        else:
            here[last] = value
    return document


def problems(raw: object) -> list[Problem]:
    """Returns the problems that `check` reports, or an empty list."""
    try:
        check(raw)
    except InvalidSpec as error:
        return error.problems
    return []


def places(raw: object) -> list[Place]:
    """Returns the places of the problems that `check` reports."""
    return [(problem.pointer, problem.code, problem.suggestion) for problem in problems(raw)]


def expect_contradiction(raw: object, pointer: str, message: str) -> None:
    """Asserts that `check` reports one contradiction at `pointer`, whose message contains `message`."""
    (problem,) = problems(raw)
    assert (problem.pointer, problem.code, problem.suggestion) == (pointer, "CONTRADICTION", None)
    assert message in problem.message
    assert not problem.message.startswith("Value error")


def places_posted(raw: dict[str, Any], store: Store) -> list[tuple[str, str]]:
    """Returns the pointers and codes of the problems that a posted spec has."""
    with pytest.raises(InvalidSpec) as error:
        intake.read_spec(raw, store)
    return [(each.pointer, each.code) for each in error.value.problems]


def evaluated(**checkpoint: Any) -> dict[str, Any]:
    """Returns a small spec whose only arm evaluates a checkpoint."""
    return small(arms=[{"name": "there", "checkpoint": checkpoint}])


def weights(path: Path, **changes: Any) -> Path:
    """Writes the weights of a small network to `path`, with some of them replaced."""
    network = models.build(models.DigitsResNet(width=4), classes=10, seed=3)
    torch.save(network.state_dict() | changes, path)
    return path


def table(**changes: Any) -> dict[str, Any]:
    """Returns a table with one cell, with some of its fields replaced."""
    return {
        "name": "table-2",
        "caption": "Accuracy",
        "rows": [{"label": "Normal", "arm": "normal"}],
        "columns": [{"label": "G=1", "generation": 0, "evaluator": "accuracy", "metric": "top1"}],
    } | changes
