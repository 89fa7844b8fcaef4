"""Folding changes nothing but roundings, and features are what fc reads."""

import copy

import pytest
import torch
from torch import Tensor, nn

from evaluators.features.bank import Bank
from evaluators.features.extraction import PENULTIMATE, _foldable, outputs, prepared
from evaluators.features.forward import activations, logits
from trainer.core.data import Dataset, Split
from trainer.core.models import (
    AnyModel,
    CifarPreActResNet18,
    CifarResNet18,
    CifarResNet110,
    DigitsResNet,
    ImageNetResNet,
    build,
)


def shaken(spec: AnyModel) -> nn.Module:
    """A float64 network whose BatchNorms differ from the identity."""
    model = build(spec, classes=4, seed=0).double().eval()
    random = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.data = 0.5 + torch.rand(tensor.shape, generator=random, dtype=torch.float64)
    return model


@pytest.mark.parametrize(
    ("spec", "folds"),
    [
        (DigitsResNet(name="resnet-digits", width=4), 12),
        (ImageNetResNet(name="resnet18"), 20),
        (ImageNetResNet(name="resnet50"), 53),
        (CifarResNet18(name="resnet18-cifar"), 20),
        (CifarPreActResNet18(name="preact-resnet18-cifar"), 9),
        (CifarPreActResNet18(name="preact-resnet18-cifar", block="he-2016"), 9),
        (CifarResNet110(name="resnet110-cifar"), 111),
        (CifarResNet110(name="resnet110-cifar", shortcut="pad"), 109),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_folding_changes_nothing_but_roundings(spec: AnyModel, folds: int, digits: Dataset) -> None:
    model = shaken(spec)
    images_NCHW = digits.test.images_NCHW[:2]
    assert len(_foldable(model)) == folds
    found = outputs(prepared(model, (), "exact"), digits, images_NCHW, (PENULTIMATE,), "none", "exact")[PENULTIMATE]
    head = model.get_submodule("fc")
    assert isinstance(head, nn.Linear)
    expected = logits(model, images_NCHW, digits)
    torch.testing.assert_close(found @ head.weight.T + head.bias, expected, rtol=1e-11, atol=1e-11)


def test_a_layer_that_is_asked_for_is_left_as_it_is(network: nn.Module, digits: Dataset) -> None:
    images_NCHW = digits.test.images_NCHW[:6]
    layers = ("conv1", "bn1", "layer1", "layer2.0.bn2", "layer4", PENULTIMATE)
    with activations(network, layers[:-1]) as seen:
        logits(network, images_NCHW, digits)
        expected = dict(seen)
    found = outputs(prepared(network, layers, "exact"), digits, images_NCHW, layers, "none", "exact")
    for layer in layers[:-1]:
        torch.testing.assert_close(found[layer], expected[layer].flatten(1), rtol=1e-12, atol=1e-12)
    averaged = outputs(prepared(network, layers, "exact"), digits, images_NCHW, ("layer1",), "avg", "exact")["layer1"]
    torch.testing.assert_close(averaged, expected["layer1"].mean((2, 3)), rtol=1e-12, atol=1e-12)


def test_the_network_is_left_as_it_was(network: nn.Module, digits: Dataset) -> None:
    model = copy.deepcopy(network).train()
    before = copy.deepcopy(model.state_dict())
    Bank().features(model, digits, digits.test)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_network_that_cannot_be_traced_is_left_unfolded(digits: Dataset) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

        def forward(self, x_NCHW: Tensor) -> Tensor:
            x_NCHW = self.bn(self.conv(x_NCHW))
            if x_NCHW.sum() > 0:
                x_NCHW = x_NCHW.relu()
            out: Tensor = self.fc(x_NCHW.mean((2, 3)))
            return out

    model = Branching().double().eval()
    images_NCHW = digits.test.images_NCHW[:6]
    found = outputs(prepared(model, (), "exact"), digits, images_NCHW, (PENULTIMATE,), "none", "exact")[PENULTIMATE]
    torch.testing.assert_close(model.fc(found), logits(model, images_NCHW, digits), rtol=0, atol=0)


def test_bf16_is_close_but_not_equal(network: nn.Module, digits: Dataset) -> None:
    model, split = copy.deepcopy(network).float(), Split(digits.test.images_NCHW[:20], digits.test.labels_N[:20])
    exact_ND, rough_ND = (Bank().features(model, digits, split, precision) for precision in ("exact", "bf16"))
    assert exact_ND.dtype == rough_ND.dtype == torch.float32
    assert 1e-4 < float((exact_ND - rough_ND).norm() / exact_ND.norm()) < 0.1


def test_a_diverged_network_is_refused(network: nn.Module, digits: Dataset) -> None:
    model = copy.deepcopy(network)
    with torch.no_grad():
        model.get_parameter("conv1.weight").fill_(torch.nan)
    with pytest.raises(ValueError, match="features are not all finite"):
        Bank().features(model, digits, digits.test)
