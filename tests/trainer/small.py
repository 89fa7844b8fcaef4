"""A training run of a second, in float64, that tests share."""

import json
from typing import Any

import torch

from trainer import loop, spec
from trainer.core.data import Dataset
from trainer.core.state import EpochRow, TrainState

CPU = torch.device("cpu")


def small_spec(method: dict[str, Any], **train: Any) -> spec.TrainSpec:
    """40 images, a net of width 4, three generations of four epochs."""
    settings = {"generations": 3, "epochs": 4, "batch_size": 16, "lr": 0.05, "evaluate_every": 4} | train
    return spec.parse(
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


def begin(one: spec.TrainSpec) -> tuple[TrainState, Dataset]:
    dataset = one.data.load()
    state = loop.start(one, dataset, CPU)
    state.model.double()
    return state, dataset


def run(one: spec.TrainSpec) -> tuple[TrainState, list[EpochRow]]:
    state, dataset = begin(one)
    return state, list(loop.train(one, state, dataset))


def bits(state: TrainState) -> dict[str, bytes]:
    """Weights and buffers as bytes: equal exactly when bit-equal."""
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in state.model.state_dict().items()}
