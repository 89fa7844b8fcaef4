"""Computes digests of everything that a method can change: the training state, and what it must leave unchanged."""

import hashlib
import pickle
import random
from io import BytesIO
from sys import modules
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core import checkpoint
from trainer.core.state import TrainState
from trainer.methods.base import Method

Bits = dict[str, str]
"""Maps the name of a thing to its digest."""


class Broken(Exception):  # noqa: N818  a finding, not a fault
    """A method fails a check. The message becomes the detail of the finding."""


def bits_of(state: TrainState, *parts: str) -> Bits:
    """Returns the digests of everything that a checkpoint holds, by part and name, or only those of `parts`.

    Raises Broken for a value that is not a tensor.
    """
    teacher = {} if state.teacher is None else state.teacher.state_dict()
    tensors = {
        "weights": state.model.state_dict(),
        "momentum": state.momentum,
        "memory": state.memory,
        "teacher": teacher,
    }
    bits = {}
    for part in parts or tensors:
        for name, tensor in tensors[part].items():
            if not isinstance(tensor, Tensor):
                raise Broken(
                    f"state.{part}[{name!r}] must be a tensor, got {type(tensor).__name__}: only those are saved"
                )
            bits[f"{part}/{name}"] = checkpoint.weights_digest({name: tensor})
    return bits if parts else bits | {"monitors": repr(sorted(state.monitors.items())), "rows": repr(state.history)}


def difference(one: Bits, other: Bits) -> str:
    """Returns the names of the first few things that differ, or an empty string."""
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def outside_of(method: Method) -> Bits:
    """Returns the digests of what a method could change besides the state.

    These are the global generators and settings, the method object itself, its class and its module.
    """
    bits = {
        "torch's global generator": _digest(torch.get_rng_state()),
        "random's global generator": _digest(random.getstate()),
        "numpy's global generator": _digest(np.random.get_state()),
        "torch's global settings": repr((torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled())),
        "the method object": _digest((vars(method), method.__pydantic_private__)),
    }
    for kind in type(method).__mro__:
        if issubclass(kind, Method) and not kind.__module__.startswith("trainer."):
            module = modules[kind.__module__]
            bits |= {f"{kind.__name__}.{name}": _digest(value) for name, value in _data(kind)}
            bits |= {f"{module.__name__}.{name}": _digest(value) for name, value in _data(module)}
    return bits


def _data(owner: type | ModuleType) -> list[tuple[str, Any]]:
    kinds = (FunctionType, ModuleType, type, classmethod, staticmethod, property)
    return [
        (name, value)
        for name, value in vars(owner).items()
        if not name.startswith("__") and not isinstance(value, kinds)
    ]


class _Pickler(pickle.Pickler):
    """Pickles tensors by their values. torch would also write addresses, which differ every time."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Generator):
            value = value.get_state()
        return (str, (checkpoint.weights_digest({"": value}),)) if isinstance(value, Tensor) else NotImplemented


def _digest(value: Any) -> str:
    written = BytesIO()
    try:
        _Pickler(written).dump(value)
    except Exception:  # what cannot be pickled is compared by its repr
        return repr(value)
    return hashlib.sha256(written.getvalue()).hexdigest()
