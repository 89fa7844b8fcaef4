"""A training run of a fraction of a second, in float64, that tests share."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from trainer import loop, spec
from trainer.batches import DataBatches
from trainer.core import models
from trainer.core.data import Dataset, Split
from trainer.core.data.digits import DigitsNoisy
from trainer.core.state import EpochRow, TrainState
from trainer.loop import Observer

CPU = torch.device("cpu")

EVERY_METHOD: list[dict[str, Any]] = [
    {"name": "normal"},
    {"name": "llf"},
    {"name": "seal", "ascent_scale": 0.5},
    {"name": "seal", "ascent_scale": 0.5, "variant": "freeze"},
    {"name": "seal", "ascent_scale": 0.5, "variant": "reinit"},
    {"name": "seal", "ascent_scale": 0.1, "variant": "reverse"},
    {"name": "seal", "ascent_scale": 0.1, "variant": "reverse", "reverse_output_layer": False},
    {"name": "ke"},
    {"name": "ke", "split": "wels", "redraw_mask": True},
    {"name": "imp"},
    {"name": "imp", "rewind_epoch": 1, "ranking": "global"},
    {"name": "sa-gd", "temperature": 1.0},
    {"name": "sa-gd", "annealing": "double", "temperature": 1.0},
    {"name": "born-again"},
    {"name": "tolerant-teacher"},
    {"name": "self-distillation"},
]
"""All of our methods, with the settings that take other paths through the code."""


NAMES = [name for name, _ in models.skeleton(models.DigitsResNet(), 10).named_parameters()]
"""The parameters of the small network, in registration order."""


def label(method: dict[str, Any]) -> str:
    """A test's name for a method's settings."""
    return " ".join([method["name"], *(f"{key}={value}" for key, value in method.items() if key != "name")])


every_method = pytest.mark.parametrize("method", EVERY_METHOD, ids=label)


class FewDigits(DigitsNoisy):
    """DigitsNoisy with only the first 64 test images, because evaluation took most of a small run's time."""

    def load(self) -> Dataset:
        whole = super().load()
        return replace(whole, test=Split(whole.test.images_NCHW[:64], whole.test.labels_N[:64]))


def small_spec(method: dict[str, Any], **train: Any) -> spec.TrainSpec:
    """40 images, a net of width 4, three generations of four epochs of three steps; None leaves a setting out."""
    settings = {
        "generations": 3,
        "epochs": 4,
        "batch_size": 16,
        "lr": 0.05,
        "evaluate_every": 4,
        "precision": "fp64",
    } | train
    settings = {key: value for key, value in settings.items() if value is not None}
    one = spec.parse(
        json.dumps(
            {
                "data": {"name": "digits-noisy", "train_per_class": 4},
                "model": {"name": "resnet-digits", "width": 4},
                "train": settings,
                "method": method,
                "seed": 7,
            }
        )
    )
    return one.model_copy(update={"data": FewDigits(train_per_class=4)})


def begin(one: spec.TrainSpec) -> tuple[TrainState, DataBatches]:
    dataset = one.data.load()
    return loop.start(one, len(dataset.classes), CPU), DataBatches(dataset, one.train.batch_size)


def run(one: spec.TrainSpec, observer: Observer | None = None) -> tuple[TrainState, list[EpochRow]]:
    state, batches = begin(one)
    return state, list(loop.train(one, state, batches, observer=observer))


def bits(state: TrainState) -> dict[str, bytes]:
    """Weights and buffers as bytes: equal exactly when bit-equal."""
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in state.model.state_dict().items()}
