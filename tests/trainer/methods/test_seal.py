"""Tests SEAL's phases, its ascent steps, and settings that contradict the recipe or the model."""

import torch

from tests.trainer.builders import NAMES
from trainer.methods import LLF, SEAL, Phase


def test_seal_ascends_early_layers_in_the_first_quarter_of_later_generations() -> None:
    seal = SEAL(ascent_scale=0.01)
    assert seal.phases(0, 160) == [Phase("learning", range(160))]
    forgetting, relearning = seal.phases(1, 160)
    assert (forgetting.epochs, relearning.epochs) == (range(40), range(40, 160))
    assert (forgetting.scales["early"].lr, forgetting.scales["early"].weight_decay) == (-0.01, -1.0)
    assert relearning.scales == {}
    assert [seal.k(epochs) for epochs in (70, 90, 160)] == [18, 23, 40]
    assert SEAL(ascent_fraction=0.07).k(100) == 7  # 0.07 * 100 is 7.000000000000001


def test_an_ascent_step_without_gradient_shrinks_weights_as_the_paper_says() -> None:
    """Weight decay shrinks weights with flip, has no effect with zero, and inflates weights with keep.

    This is pitfall 3 of protocols 10.
    """
    norms = {}
    for mode in ("flip", "zero", "keep"):
        weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        scale = SEAL(ascent_weight_decay=mode).phases(1, 4)[0].scales["early"]
        optimizer = torch.optim.SGD([weight], lr=0.0, momentum=0.9)
        optimizer.param_groups[0] |= {"lr": 0.5 * scale.lr, "weight_decay": 0.1 * scale.weight_decay}
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        norms[mode] = weight.norm().item() / 3**0.5
    assert norms["flip"] < 1
    assert norms["zero"] == 1
    assert norms["keep"] > 1


def test_problems_name_the_remedy() -> None:
    assert SEAL(ascent_epochs=30).problems(24, NAMES) == [
        ("ascent_epochs", "30 ascent epochs do not fit into a generation of 24: use at most 24")
    ]
    ((field, message),) = LLF(layer_threshold="layer9").problems(24, NAMES)
    assert field == "layer_threshold"
    assert "it has conv1, bn1, layer1, layer2, layer3, layer4, fc" in message
    assert SEAL(layer_threshold="conv1").problems(24, NAMES)[0][0] == "layer_threshold"
