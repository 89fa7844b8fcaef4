"""Imports weights that were trained elsewhere into checkpoints, for the arms that evaluate them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from evaluators.weights import fitting, read_state, renamed
from orchestrator.checkpoints.finished import finished
from orchestrator.driver.attempt import Attempt
from orchestrator.driver.committer import Stopped
from orchestrator.driver.reports import commit_generation
from orchestrator.intake.references import digest_of, is_address
from orchestrator.plan import Node
from orchestrator.spec import Weights
from orchestrator.states import Reason
from trainer.core import checkpoint
from trainer.core.data import AnyData
from trainer.core.determinism import fingerprint
from trainer.core.models import AnyModel, skeleton
from trainer.core.state import TrainState


def import_all(attempt: Attempt) -> None:
    """Imports all weights that arms name, and waits for those that another experiment imports."""
    ledger = attempt.ledger
    waiting = [node for key, node in attempt.plan.nodes.items() if node.kind == "checkpoint" and key not in ledger.done]
    while waiting and not attempt.stopping.is_set():
        for node in waiting:
            if ledger.claim(node.key):
                _import_one(attempt, node)
        waiting = [node for node in waiting if node.key not in ledger.done and node.key not in ledger.failed]
        if waiting:
            attempt.stopping.wait(1.0)  # another experiment imports them


def import_weights(
    source: Weights, model: AnyModel, data: AnyData, key: str, into: Path, download: Callable[[str], Path]
) -> checkpoint.Manifest:
    """Writes the checkpoint of node `key` to `into`, and returns its manifest.

    `download` fetches a URI that is not a local path, and returns the path of the file. Raises ValueError if the file
    does not have the sha256 of `source`, or if its weights do not fit `model`.
    """
    path = download(source.uri) if is_address(source.uri) else Path(source.uri)
    if source.sha256 is not None and (found := digest_of(path)) != source.sha256:
        raise ValueError(
            f"{source.uri} has sha256 {found}, but the experiment was posted for {source.sha256}: post it again"
        )
    network = skeleton(model, len(data.class_names()))
    weights = renamed(read_state(path), source.strip_prefix, source.rename, option=str)
    try:
        weights = fitting(weights, dict(network.state_dict()), model.name, option=str)
    except ValueError as error:
        raise ValueError(f"{source.uri}: {error}") from error
    network.to_empty(device="cpu").load_state_dict(weights)
    state = TrainState(network, seed=0)
    return checkpoint.save(into, state, key, fingerprint(torch.device("cpu")))


def _import_one(attempt: Attempt, node: Node) -> None:
    arm = attempt.spec.arm(node.arm)
    assert isinstance(arm.checkpoint, Weights)
    folder, aside = attempt.folders.checkpoint(node.key), attempt.folders.fetched(node.key)
    try:
        if not finished(attempt.folders, node.key):
            model, data = attempt.spec.model_of(arm), attempt.spec.data_of(arm)
            import_weights(
                arm.checkpoint,
                model,
                data,
                key=node.key,
                into=folder,
                download=lambda uri: attempt.committer.download(uri, aside),
            )
    except Stopped:
        return
    except (OSError, ValueError, ImportError) as error:
        attempt.ledger.fail([node.key], Reason.USER_ERROR, str(error))
    else:
        commit_generation(attempt, node.key)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
