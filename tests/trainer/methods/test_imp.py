"""Tests the density that iterative magnitude pruning keeps, and the weights that it rewinds to."""

from itertools import islice

import pytest
import torch

from tests.trainer.builders import NAMES, begin, run, small_spec
from trainer import loop
from trainer.core import masks
from trainer.methods.imp import IterativeMagnitudePruning


def test_imp_keeps_the_expected_density_and_what_is_pruned_stays_zero() -> None:
    one = small_spec({"name": "imp", "rate": 0.3}, generations=4, epochs=2)
    state, batches = begin(one)
    for row in loop.train(one, state, batches):
        for name, weight in masks.weights(state.model).items():
            kept = 1 - (0.15 if name == "fc.weight" else 0.3)
            alive = int((weight != 0).sum())
            assert abs(alive - weight.numel() * kept**row.generation) <= row.generation
            if row.generation:
                assert alive == int(state.memory[f"imp/alive/{name}"].sum())
    assert {name for name, p in state.model.named_parameters() if (p == 0).any()} == set(masks.weights(state.model))


@pytest.mark.parametrize("rewind_epoch", [0, 1, 3])
def test_imp_rewinds_the_weights_to_the_rewind_epoch_and_resets_the_statistics(rewind_epoch: int) -> None:
    normal = small_spec({"name": "normal"}, generations=1)
    early, batches = begin(normal)
    list(islice(loop.train(normal, early, batches), rewind_epoch))
    state, _ = run(small_spec({"name": "imp", "rewind_epoch": rewind_epoch}, generations=1))
    loop.begin_generation(state)
    IterativeMagnitudePruning(rewind_epoch=rewind_epoch).forget(state)
    for name, parameter in state.model.named_parameters():
        alive = state.memory.get(f"imp/alive/{name}", torch.ones_like(parameter))
        assert torch.equal(parameter.data, early.model.get_parameter(name).data * alive), name
    statistics = {name: tensor for name, tensor in state.model.named_buffers() if "running" in name}
    assert all((tensor == float("var" in name)).all() for name, tensor in statistics.items())


def test_a_rewind_epoch_that_never_starts_is_refused() -> None:
    assert IterativeMagnitudePruning(rewind_epoch=4).problems(4, NAMES) == [
        ("rewind_epoch", "generation 0 has 4 epochs, so it never starts epoch 4")
    ]
    assert IterativeMagnitudePruning(rewind_epoch=3).problems(4, NAMES) == []
