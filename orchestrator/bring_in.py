"""Brings weights that were trained elsewhere into a checkpoint of ours, as the arm that judges them says."""

from collections.abc import Callable
from pathlib import Path

import torch

from evaluators.foreign import fitting, read_state, renamed
from orchestrator.references import digest_of, is_address
from orchestrator.spec import Weights
from trainer.core import checkpoint
from trainer.core.data import AnyData
from trainer.core.fingerprint import fingerprint
from trainer.core.models import AnyModel, skeleton
from trainer.core.state import TrainState


def bring_in(
    source: Weights, model: AnyModel, data: AnyData, key: str, into: Path, download: Callable[[str], Path]
) -> checkpoint.Manifest:
    """Writes the checkpoint of node `key` to `into`. Raises ValueError where the file is not what the arm says it is.

    `download` fetches what is not a path of this machine, and returns where it lies.
    """
    path = download(source.uri) if is_address(source.uri) else Path(source.uri)
    if source.sha256 is not None and (found := digest_of(path)) != source.sha256:
        raise ValueError(f"{source.uri} has sha256 {found}, the experiment was posted for {source.sha256}: post it again")
    network = skeleton(model, len(data.class_names()))
    weights = renamed(read_state(path), source.strip_prefix, source.rename, option=str)
    try:
        weights = fitting(weights, dict(network.state_dict()), model.name, option=str)
    except ValueError as error:
        raise ValueError(f"{source.uri}: {error}") from error
    network.to_empty(device="cpu").load_state_dict(weights)
    state = TrainState(network, seed=0)
    return checkpoint.save(into, state, key, fingerprint(torch.device("cpu")))
