"""Replays a method step by step over given weights and batches, to compare this trainer with another
(docs/replay.md)."""

import copy
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import loop
from trainer.batches import FixedBatches
from trainer.core import models
from trainer.core.layers import output_layer
from trainer.core.reinit import GIVEN
from trainer.core.state import TrainState
from trainer.spec import TrainSpec


def replay(
    spec: TrainSpec, weights: dict[str, Tensor], batches: list[tuple[Tensor, Tensor]], out: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Trains `spec` from `weights` over `batches` in their order, the same in every epoch; yields one row per step.

    With `out`, the state dict of the network is saved there at the start of every generation (after forgetting) and at
    its end. Raises ValueError if weights or batches do not fit the model, and Diverged.
    """
    classes = _classes(spec, weights)
    state = loop.start(spec, classes, torch.device("cpu"))
    try:
        state.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the weights are not those of {spec.model.name} with {classes} classes: {error}") from error
    state.memory = {GIVEN + name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    dataset = spec.data.load()
    for index, (images, labels) in enumerate(batches):
        if images.shape[1] != 3 or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            found = f"{images.shape[1]} channels and labels {int(labels.min())} to {int(labels.max())}"
            raise ValueError(
                f"batch {index} must hold 3 channels and labels 0 to {classes - 1}, as the weights do; got {found}"
            )
    floats = [
        (images if images.is_floating_point() else dataset.floats(images, state.dtype), y) for images, y in batches
    ]
    steps: list[loop.StepTaken] = []
    _save(out, "g0000-start", state)
    for _ in loop.train(spec, state, FixedBatches(floats, classes), observer=steps.append):
        yield from (asdict(step) | {"loss": step.loss.item()} for step in steps)
        steps.clear()
        if state.epoch == spec.train.epochs:
            _save(out, f"g{state.generation:04}-end", state)
            if out is not None and state.generation + 1 < spec.train.generations:
                following = copy.deepcopy(state)
                loop.begin_generation(following)
                spec.method.forget(following)
                _save(out, f"g{following.generation:04}-start", following)


def read_batches(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Reads batches from a torch file: a list of (images, labels) pairs or of dicts, or one dict of stacked tensors.

    Images `[B, C, H, W]` are floats, which are used as they are, or uint8, which `replay` normalises as the data set
    is. Raises ValueError.
    """
    content = read(path)
    try:
        if isinstance(content, dict):
            content = list(zip(content["images"], content["labels"], strict=True))
        pairs = ((each["images"], each["labels"]) if isinstance(each, dict) else each for each in content)
        batches = [(torch.as_tensor(images), torch.as_tensor(labels)) for images, labels in pairs]
    except (KeyError, TypeError, ValueError) as error:
        forms = "a list of (images, labels) pairs, a list of dicts with images and labels,"
        forms += " or one such dict of stacked tensors"
        raise ValueError(f"{path} holds no batches: write {forms} ({type(error).__name__}: {error})") from error
    for index, (images, labels) in enumerate(batches):
        if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels):
            shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
            raise ValueError(f"{path}: batch {index} must hold images [B, C, H, W] and labels [B], got {shapes}")
    if not batches:
        raise ValueError(f"{path} holds no batches")
    return [(images, labels.long()) for images, labels in batches]


def read(path: Path) -> Any:
    """Reads what torch.save wrote to `path` without running code from it. Raises ValueError."""
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch.load raises many types of errors for foreign files
        raise ValueError(f"{path} cannot be read: {error}") from error


def _classes(spec: TrainSpec, weights: dict[str, Tensor]) -> int:
    output = output_layer([name for name, _ in models.skeleton(spec.model, classes=2).named_parameters()])[0]
    if output not in weights:
        raise ValueError(
            f"the weights have no {output!r}, the output layer of {spec.model.name}; names are torchvision's"
        )
    return len(weights[output])


def _save(out: Path | None, name: str, state: TrainState) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        torch.save(state.model.state_dict(), out / f"{name}.pt")
