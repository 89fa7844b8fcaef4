"""Finds a network's weights in what others saved: under a key of a larger dict, or with a prefix before every name."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.core.command_line import read_bytes

SHOWN = 3
"""How many names a message lists before it counts the rest."""


def read_tensors(path: Path, flag: str) -> Any:
    """Reads what torch.save wrote to `path` without running code from it. Raises ValueError with the flag."""
    read_bytes(path, flag)
    try:
        with warnings.catch_warnings():  # such as that sparse tensors take long to verify
            warnings.simplefilter("ignore")
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch.load raises many types of errors for foreign files
        kind = re.search(r"GLOBAL (\S+)", str(error))
        why = "it is not a file of torch.save, or it is damaged"
        if kind is not None and isinstance(error, pickle.UnpicklingError):
            why = f"it holds an object of type {kind.group(1)}, and only tensors are read: save a state dict"
        raise ValueError(f"{flag} {path} cannot be read: {why}") from error


def unwrapped(stored: Any, key: str | None = None) -> tuple[dict[str, Tensor], str | None]:
    """Returns the state dict in `stored`, and the key under which it is if it is not `stored` itself.

    `key` names one of several. Raises ValueError if there is none, or more than one and no `key`.
    """
    if key is None and _is_state_dict(stored):
        return stored, None
    nested = {name: each for name, each in stored.items() if _is_state_dict(each)} if isinstance(stored, dict) else {}
    if key is not None and key not in nested:
        raise ValueError(f"there is no state dict under {key!r}; there is one under: {_few(list(nested)) or 'no key'}")
    if key is None and len(nested) != 1:
        which = (
            f"several state dicts: choose one of {', '.join(map(str, nested))} by --key" if nested else "no state dict"
        )
        raise ValueError(f"it holds {which}")
    name = next(iter(nested)) if key is None else key
    return nested[name], name


def fitted(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Returns `state` under the names of the network whose state dict is `wanted`, and the prefix that was removed.

    Counters of BatchNorm that older files lack are added. Raises ValueError if names, shapes or types do not fit.
    """
    needed = [name for name in wanted if not name.endswith(".num_batches_tracked")]
    prefix = _prefix(state, needed)
    state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in wanted.items() if name not in needed} | state
    differences = [
        ("missing", [name for name in wanted if name not in state]),
        ("unexpected", [name for name in state if name not in wanted]),
    ]
    if any(names for _, names in differences):
        raise ValueError("; ".join(f"{what} {_few(names)}" for what, names in differences if names))
    for name in needed:
        if state[name].shape != wanted[name].shape:
            shapes = f"{list(state[name].shape)}, and the network has {list(wanted[name].shape)}"
            raise ValueError(f"{name} is {shapes}")
        if not state[name].is_floating_point() or state[name].layout is not torch.strided:
            raise ValueError(f"{name} holds {state[name].dtype} ({state[name].layout}), which are no weights to train")
    return state, prefix


def _prefix(state: dict[str, Tensor], needed: list[str]) -> str:
    """Returns what stands before every needed name in `state`, or nothing."""
    if all(name in state for name in needed):
        return ""
    ends = (name.removesuffix(needed[0]) for name in state if name.endswith(f".{needed[0]}"))
    return next((each for each in ends if all(each + name in state for name in needed)), "")


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more
