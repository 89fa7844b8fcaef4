import copy

import pytest
import torch
from torch import nn

from evaluators.features.forward import activations, forward, logits
from trainer.core.data import Dataset


def test_the_model_is_judged_in_eval_mode_and_left_without_hooks(network: nn.Module, digits: Dataset) -> None:
    model = copy.deepcopy(network).train()
    before = copy.deepcopy(model.state_dict())
    with activations(model, ["layer1", "layer2"]):
        logits(model, digits.test.images_NCHW[:8], digits)
    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_consumer_of_forward_keeps_its_gradients(network: nn.Module, digits: Dataset) -> None:
    for out_NC in forward(network, digits.test.images_NCHW[:4], digits):
        assert torch.is_grad_enabled()
        assert not out_NC.requires_grad


def test_activations_are_the_outputs_of_the_named_layers(network: nn.Module, digits: Dataset) -> None:
    images = digits.test.images_NCHW[:6]
    with activations(network, ["bn1", "layer2"]) as outputs:
        logits(network, images, digits)
    with torch.no_grad():
        x = network.get_submodule("bn1")(network.get_submodule("conv1")(digits.floats(images, torch.float64)))
        torch.testing.assert_close(outputs["bn1"], x, rtol=0, atol=0)
        x = network.get_submodule("layer2")(network.get_submodule("layer1")(x.relu()))
    torch.testing.assert_close(outputs["layer2"], x, rtol=0, atol=0)
    assert (outputs["bn1"] < 0).any(), "the in-place ReLU after bn1 has overwritten what was kept"


def test_a_layer_the_model_lacks_is_named(network: nn.Module) -> None:
    message = r"layer 'layer9' is not a layer of this model; its outermost are conv1, bn1, relu, layer1"
    with pytest.raises(ValueError, match=message), activations(network, ["layer1", "layer9"]):
        pass
    assert not network.get_submodule("layer1")._forward_hooks


def test_a_diverged_network_is_refused(network: nn.Module, digits: Dataset) -> None:
    model = copy.deepcopy(network)
    with torch.no_grad():
        model.get_parameter("conv1.weight").fill_(torch.nan)
    with pytest.raises(ValueError, match="logits are not all finite"):
        logits(model, digits.test.images_NCHW[:4], digits)
