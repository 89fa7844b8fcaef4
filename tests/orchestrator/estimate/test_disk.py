"""Estimated sizes against the tensors in checkpoints that training wrote."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import plan as planning
from orchestrator.estimate.disk import Storage
from orchestrator.estimate.workload import Workload
from orchestrator.intake.check import check
from tests.orchestrator.builders import node, small
from trainer.run import run


def tensor_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(tensor_bytes, value.values())) if isinstance(value, dict) else 0


def checkpoint_bytes(folder: Path) -> int:
    """Returns the bytes of all tensors in a checkpoint."""
    return tensor_bytes(torch.load(io.BytesIO((folder / "state.pt").read_bytes()), weights_only=True))


@pytest.mark.parametrize(
    "method",
    [
        {"name": "normal"},
        {"name": "seal", "ascent_epochs": 2},
        {"name": "imp"},
        {"name": "imp", "rewind_epoch": 1},
        {"name": "born-again"},
    ],
    ids=lambda method: "-".join(map(str, method.values())),
)
@pytest.mark.parametrize("train", [{}, {"precision": "fp64", "reset_momentum_at": []}])
def test_sizes_are_those_of_the_checkpoints_that_training_writes(
    method: dict[str, Any], train: dict[str, Any], tmp_path: Path
) -> None:
    settings = {"generations": 2, "epochs": 2, "batch_size": 40, "evaluate_every": 2} | train
    network = {"name": "resnet-digits", "width": 1}
    spec = check(small(arms=[{"name": "arm", "method": method}], model=network, train=settings, evaluations=[]))
    plan = planning.plan(spec)
    storage = Storage(spec, Workload(spec))
    unfinished = []
    for row in run(spec.train_spec(spec.arms[0], 0), torch.device("cpu"), tmp_path, every_s=0):
        if row.epoch == 0:
            unfinished.append(checkpoint_bytes(tmp_path / "progress" / f"g{row.generation:04}-e000001"))
    nodes = [node(plan, "arm", generation) for generation in (0, 1)]
    assert [storage.committed(each) for each in nodes] == [
        checkpoint_bytes(tmp_path / f"g{generation:04}") for generation in (0, 1)
    ]
    needs = [storage.unfinished(each) or 0 for each in nodes]
    assert all(found <= need for found, need in zip(unfinished, needs, strict=True))
    if "rewind_epoch" not in method:  # its checkpoint of epoch 0 does not have the weights to rewind to yet
        assert needs == unfinished


def test_the_answer_by_hand() -> None:
    """Three generations, two at a time, each with three unfinished checkpoints that have momentum."""
    spec = check(small())
    plan, storage = planning.plan(spec), Storage(spec, Workload(spec))
    network = spec.model.build(10)
    parameters = 4 * sum(each.numel() for each in network.parameters())
    buffers = sum(each.numel() * each.element_size() for each in network.buffers())
    found = storage.answer(plan, plan.nodes, training_slots=2)
    assert (found["checkpoints"], found["checkpoint_bytes"], found["partial"]) == (3, parameters + buffers, False)
    assert found["kept_bytes"] == 3 * (parameters + buffers)
    assert found["peak_bytes"] == 6 * (parameters + buffers) + 2 * 3 * (2 * parameters + buffers)
    nothing = storage.answer(plan, set(), training_slots=2)
    assert (nothing["checkpoints"], nothing["kept_bytes"], nothing["peak_bytes"]) == (0, 0, 0)
