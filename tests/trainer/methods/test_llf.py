"""Tests which weights LLF draws again, and from which law."""

import pytest
import torch

from tests.trainer.builders import begin, small_spec
from trainer.methods import LLF


def test_llf_redraws_late_weights_only_and_from_the_narrow_law() -> None:
    state, _ = begin(small_spec({"name": "llf"}))
    state.generation = 1
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    LLF().forget(state)
    changed = {name for name, tensor in state.model.state_dict().items() if not torch.equal(tensor, before[name])}
    late_weights = {name for name in before if name.startswith(("layer3", "layer4", "fc")) and before[name].ndim > 1}
    assert changed == late_weights
    weight = state.model.get_parameter("layer4.0.conv2.weight")
    assert weight.abs().max() <= 1 / weight[0].numel() ** 0.5
    assert weight.std().item() == pytest.approx(1 / (3 * weight[0].numel()) ** 0.5, rel=0.03)


def test_llf_draws_different_weights_in_each_generation() -> None:
    state, _ = begin(small_spec({"name": "llf"}))
    drawn = []
    for state.generation in (1, 2):
        LLF(redraw_law="same_as_init").forget(state)
        drawn.append(state.model.get_parameter("fc.weight").clone())
    assert not torch.equal(drawn[0], drawn[1])
    conv = state.model.get_parameter("layer4.0.conv2.weight")
    assert conv.std().item() == pytest.approx((2 / conv[0].numel()) ** 0.5, rel=0.03)
