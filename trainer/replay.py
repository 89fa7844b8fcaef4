"""Replays a method step by step over given weights and batches, to compare this trainer with another
(docs/replay.md)."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import loop
from trainer.batches import FixedBatches
from trainer.core import models, state_dicts
from trainer.core.last_batch import cannot, single_pixel_norm
from trainer.core.layers import output_layer
from trainer.core.reinit import GIVEN
from trainer.core.state import TrainState
from trainer.spec import TrainSpec

Batch = tuple[Tensor, Tensor]
DTYPES = {"float32": "fp32", "float64": "fp64"}
"""The precision of a spec that each --dtype stands for."""


def replay(
    spec: TrainSpec,
    weights: dict[str, Tensor],
    batches: list[Batch],
    report: Callable[[dict[str, Any]], None],
    out: Path | None = None,
) -> None:
    """Trains `spec` from `weights` over `batches` in their order, the same in every epoch.

    `report` receives one row per step, as soon as the step is taken. With `out`, the state dict of the network is saved
    there at the start of every generation (after forgetting) and at its end. The data set of the spec is read only if
    a batch holds uint8 images. Raises ValueError if weights or batches do not fit the model, and Diverged at the first
    step whose loss is not finite.
    """
    classes = len(weights[_output(spec)])
    state = loop.start(spec, classes, torch.device("cpu"))
    state.model.load_state_dict(weights)
    state.memory = {GIVEN + name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    floats = _floats(spec, batches, classes, state.dtype)

    def taken(step: loop.StepTaken) -> None:
        if not torch.isfinite(step.loss):
            where = f"step {step.step} of epoch {step.epoch} of generation {step.generation}"
            raise loop.Diverged(f"the loss became {step.loss.item()} in {where} ({step.phase})")
        report(asdict(step) | {"loss": step.loss.item()})

    _save(out, "g0000-start", state)
    for _ in loop.train(spec, state, FixedBatches(floats, classes), observer=taken):
        if state.epoch == spec.train.epochs:
            _save(out, f"g{state.generation:04}-end", state)
            if out is not None and state.generation + 1 < spec.train.generations:
                following = copy.deepcopy(state)
                loop.begin_generation(following)
                spec.method.forget(following)
                _save(out, f"g{following.generation:04}-start", following)


def with_dtype(spec: TrainSpec, dtype: str | None) -> TrainSpec:
    """Returns `spec` with the precision of --dtype, if that is given.

    Raises ValueError if the spec itself gives another one.
    """
    if dtype is None or DTYPES[dtype] == spec.train.precision:
        return spec
    if "precision" in spec.train.model_fields_set:
        found = f"the spec's train/precision is {spec.train.precision}"
        raise ValueError(f"--dtype {dtype} contradicts the spec: {found}; leave one of them out")
    return spec.model_copy(update={"train": spec.train.model_copy(update={"precision": DTYPES[dtype]})})


def read_weights(path: Path, spec: TrainSpec, key: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Reads the initial weights, and returns them under the network's names with a sentence of what was done for that.

    The state dict may be under a key of a larger dict (`key` names one of several), and all its names may have one
    prefix. The sentence is empty if nothing was done. Raises ValueError.
    """
    try:
        state, found = state_dicts.unwrapped(state_dicts.read_tensors(path, "--init"), key)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith("--init") else f"--init {path}: {error}") from error
    output = _output(spec)
    ends = [name for name in state if name == output or name.endswith(f".{output}")]
    if not ends or state[ends[0]].ndim != 2:
        raise ValueError(
            f"--init {path}: the weights have no {output!r}, the output layer of {spec.model.name}; "
            "names are torchvision's"
        )
    classes = len(state[ends[0]])
    wanted = models.skeleton(spec.model, classes).state_dict()
    wanted = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in wanted.items()}
    try:
        weights, prefix = state_dicts.fitted(state, wanted)
    except ValueError as error:
        theirs = f"the weights are not those of {spec.model.name} with {classes} classes"
        raise ValueError(f"--init {path}: {theirs}: {error}") from error
    done = [f"they are under the key {found!r}"] if found else []
    done += [f"the prefix {prefix!r} was removed from their names"] if prefix else []
    return weights, f"--init {path}: {' and '.join(done)}" if done else ""


def read_batches(path: Path) -> list[Batch]:
    """Reads batches from a torch file: a list of (images, labels) pairs or of dicts, or one dict of stacked tensors.

    Images `[B, C, H, W]` are floats, which are used as they are, or uint8, which `replay` normalises as the data set
    is. Labels are integers. Raises ValueError.
    """
    content = state_dicts.read_tensors(path, "--batches")
    try:
        if isinstance(content, dict):
            content = list(zip(content["images"], content["labels"], strict=True))
        pairs = ((each["images"], each["labels"]) if isinstance(each, dict) else each for each in content)
        batches = [(torch.as_tensor(images), torch.as_tensor(labels)) for images, labels in pairs]
    except (KeyError, TypeError, ValueError) as error:
        forms = "a list of (images, labels) pairs, a list of dicts with images and labels,"
        forms += " or one such dict of stacked tensors"
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"--batches {path} holds no batches: write {forms} ({why})") from error
    for index, (images, labels) in enumerate(batches):
        at = f"--batches {path}: batch {index}"
        if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels):
            shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
            raise ValueError(f"{at} must hold images [B, C, H, W] and labels [B], got {shapes}")
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise ValueError(f"{at} has labels of {labels.dtype}: write the numbers of the classes as integers")
        if not images.is_floating_point() and images.dtype != torch.uint8:
            raise ValueError(f"{at} has images of {images.dtype}: write floats, or uint8 pixels")
    if not batches:
        raise ValueError(f"--batches {path} holds no batches")
    return [(images, labels.long()) for images, labels in batches]


def _floats(spec: TrainSpec, batches: list[Batch], classes: int, dtype: torch.dtype) -> list[Batch]:
    """Returns the batches with float images. Raises ValueError for batches that the network cannot be trained on."""
    for index, (images, labels) in enumerate(batches):
        if images.shape[1] != 3 or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            found = f"{images.shape[1]} channels and labels {int(labels.min())} to {int(labels.max())}"
            raise ValueError(
                f"batch {index} must hold 3 channels and labels 0 to {classes - 1}, as the weights do; got {found}"
            )
        pixels = max(images.shape[2:])
        if len(labels) == 1 and (norm := single_pixel_norm(spec.model, pixels)) is not None:
            raise ValueError(
                f"batch {index} holds one image, {cannot(spec.model, pixels, norm)}: give every batch two images"
            )
    if all(images.is_floating_point() for images, _ in batches):
        return batches
    dataset = spec.data.load()
    return [(images if images.is_floating_point() else dataset.floats(images, dtype), y) for images, y in batches]


def _output(spec: TrainSpec) -> str:
    """Returns the name of the output layer's weight."""
    return output_layer([name for name, _ in models.skeleton(spec.model, classes=2).named_parameters()])[0]


def _save(out: Path | None, name: str, state: TrainState) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        torch.save(state.model.state_dict(), out / f"{name}.pt")
