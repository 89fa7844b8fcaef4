"""Reads weights that were saved elsewhere, as tensors only, and maps their names to those of our networks."""

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from trainer.core import checkpoint

NESTS = ("model", "state_dict", "net")
"""The keys under which a file may keep its state_dict if it is not one itself."""
SHOWN = 3
"""How many names a message lists before it counts the rest."""
Option = Callable[[str], str]
"""A function that returns how messages write a setting."""


def spelled(setting: str) -> str:
    """Returns the setting as an option of the command line."""
    return f"--{setting.replace('_', '-')}"


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads the weights and buffers from a file of torch.save, or from a verified checkpoint folder.

    Raises ValueError or OSError.
    """
    if path.is_dir():
        checkpoint.read_manifest(path)
    file = path / checkpoint.STATE if path.is_dir() else path
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        why = str(error).split("\n")[0]
        raise ValueError(f"{path} is not a file of tensors: save model.state_dict() by torch.save ({why})") from error
    nests = [stored, *(stored[nest] for nest in NESTS if nest in stored)] if isinstance(stored, dict) else []
    for nest in nests:
        if isinstance(nest, dict) and nest and all(isinstance(value, Tensor) for value in nest.values()):
            return nest
    raise ValueError(f"{path} holds no state_dict, neither itself nor under one of {', '.join(NESTS)}")


def renamed(
    state: dict[str, Tensor], prefix: str, renames: Iterable[str], option: Option = spelled
) -> dict[str, Tensor]:
    """Returns `state` with `prefix` removed from its names, and then the first fitting one of `renames` applied.

    A rename is OLD=NEW and replaces the prefix OLD. Raises ValueError if two tensors get the same name.
    """
    pairs = []
    for text in renames:
        old, separator, new = text.partition("=")
        if not separator or not old:
            raise ValueError(f"{option('rename')} {text!r} is not of the form OLD=NEW")
        pairs.append((old, new))
    found: dict[str, Tensor] = {}
    for given, tensor in state.items():
        name = given.removeprefix(prefix)
        old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
        name = new + name.removeprefix(old)
        if name in found:
            raise ValueError(
                f"{option('strip_prefix')} and {option('rename')} give two tensors the name {name!r}: rename fewer"
            )
        found[name] = tensor
    return found


def fitting(
    state: dict[str, Tensor], wanted: dict[str, Tensor], model: str, option: Option = spelled
) -> dict[str, Tensor]:
    """Returns `state` completed by the counters of BatchNorm that older files lack.

    `wanted` is the state_dict of the network. Raises ValueError if names or shapes differ from it.
    """
    counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name.endswith(".num_batches_tracked")}
    state = counters | state
    missing, unexpected = [name for name in wanted if name not in state], [name for name in state if name not in wanted]
    if missing or unexpected:
        prefixes = (
            found.removesuffix(missing[0]) for found in unexpected if missing and found.endswith(f".{missing[0]}")
        )
        prefix = next((each for each in prefixes if all(each + name in state for name in missing)), None)
        cut, rename = option("strip_prefix"), option("rename")
        remedy = f"{cut} {prefix}" if prefix else f"{cut} or {rename} OLD=NEW"
        parts = [f"{what} {_few(names)}" for what, names in (("missing", missing), ("unexpected", unexpected)) if names]
        raise ValueError(
            f"it does not fit {model}: {'; '.join(parts)}: map the names by {remedy}, or name its own {option('model')}"
        )
    if other := [name for name in wanted if state[name].shape != wanted[name].shape]:
        shapes = f"{list(state[other[0]].shape)} where the model has {list(wanted[other[0]].shape)}"
        raise ValueError(
            f"it does not fit {model}: {_few(other)} ({shapes}): look at {option('model')} and {option('classes')}"
        )
    return state


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
