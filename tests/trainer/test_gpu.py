"""Training on a GPU equals that on a CPU in float64 up to rounding, and gives equal bits if it is interrupted."""

import copy
from typing import Any

import pytest
import torch

from tests.trainer.builders import CPU, EVERY_METHOD, label, small_spec
from trainer import loop
from trainer.batches import DataBatches
from trainer.core.state import EpochRow, TrainState
from trainer.spec import TrainSpec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

GPU = torch.device("cuda")  # without an index, as `python -m trainer` has it


def _begin(one: TrainSpec, device: torch.device) -> tuple[TrainState, DataBatches]:
    dataset = one.data.load().to(device)
    return loop.start(one, len(dataset.classes), device), DataBatches(dataset, one.train.batch_size)


def _run(one: TrainSpec, device: torch.device, graphed: bool | None = None) -> tuple[TrainState, list[EpochRow]]:
    state, batches = _begin(one, device)
    return state, list(loop.train(one, state, batches, graphed=graphed))


def _apart(ours: TrainState, theirs: TrainState) -> float:
    pairs = zip(ours.model.state_dict().values(), theirs.model.state_dict().values(), strict=True)
    return max(float((mine.cpu() - other.cpu()).abs().max() / other.abs().max()) for mine, other in pairs)


@pytest.mark.parametrize("method", EVERY_METHOD, ids=label)
def test_graphed_eager_and_cpu_agree_and_a_resumed_run_has_the_same_bits(method: dict[str, Any]) -> None:
    one = small_spec(method)
    (graphed, rows), (eager, _), (on_cpu, expected) = _run(one, GPU), _run(one, GPU, graphed=False), _run(one, CPU)
    assert _apart(graphed, eager) < 1e-12
    assert _apart(graphed, on_cpu) < 1e-11
    for mine, other in zip(rows, expected, strict=True):
        assert mine.metrics == pytest.approx(other.metrics, rel=1e-11)

    state, batches = _begin(one, GPU)
    for row in loop.train(one, state, batches):
        if (row.generation, row.epoch) == (1, 1):
            break
    resumed = copy.deepcopy(state)
    list(loop.train(one, resumed, batches))
    assert _apart(resumed, graphed) == 0


def test_a_capture_leaves_no_memory_taken() -> None:
    """cuBLAS keeps some for every stream that it meets."""
    one = small_spec({"name": "normal"}, generations=6, epochs=1)
    state, batches = _begin(one, GPU)
    taken = [torch.cuda.memory_allocated() for _ in loop.train(one, state, batches)]
    assert taken[-1] - taken[1] < 2**20
