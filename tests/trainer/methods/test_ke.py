"""Tests what Knowledge Evolution draws again outside the hypothesis."""

from typing import Any

import pytest
import torch

from tests.trainer.builders import NAMES, run, small_spec
from trainer import loop
from trainer.methods.ke import KnowledgeEvolution


@pytest.mark.parametrize("split", ["kels", "wels"])
def test_ke_redraws_what_is_outside_the_hypothesis_and_nothing_else(split: Any) -> None:
    state, _ = run(small_spec({"name": "normal"}, generations=1))
    loop.begin_generation(state)
    ke = KnowledgeEvolution(split=split)
    kept = ke.mask(state)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    ke.forget(state)
    for name, now in state.model.state_dict().items():
        outside = ~kept[name] if name in kept else torch.zeros_like(now, dtype=torch.bool)
        assert torch.equal(now != before[name], outside), name
        if name in kept:
            assert now[outside].abs().max() <= 1 / now[0].numel() ** 0.5
    drawn = state.model.get_parameter("layer4.0.conv2.weight")
    values = drawn[~kept["layer4.0.conv2.weight"]]
    assert values.std().item() == pytest.approx(1 / (3 * drawn[0].numel()) ** 0.5, rel=0.03)


def test_the_mask_of_kels_cannot_be_redrawn() -> None:
    ((field, message),) = KnowledgeEvolution(redraw_mask=True).problems(4, NAMES)
    assert (field, message.split(":")[0]) == ("redraw_mask", "the mask of kels is fixed by the channels")
