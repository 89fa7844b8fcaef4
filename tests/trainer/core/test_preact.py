"""The two pre-activation networks against a plain forward pass, and what LLF and SEAL do on them (protocols 5)."""

import json
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from orchestrator.intake import read_spec
from orchestrator.plan import plan
from orchestrator.store import Store
from tests.orchestrator.builders import small
from trainer import spec
from trainer.core import models
from trainer.core.layers import split_at
from trainer.core.reinit import reinit_late
from trainer.core.state import TrainState
from trainer.methods import LLF, SEAL

Block = Literal["released", "he-2016"]
BLOCKS: list[Block] = ["released", "he-2016"]
SHORTCUTS = {"layer3.0.shortcut.0.weight", "layer4.0.shortcut.0.weight"}


def network(block: Block) -> models.CifarPreActResNet18:
    return models.CifarPreActResNet18(name="preact-resnet18-cifar", block=block)


def plain(weights: dict[str, Tensor], images_NCHW: Tensor, block: Block) -> Tensor:
    """The logits in eval mode, from the names of the weights alone."""

    def normalised(x: Tensor, name: str) -> Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        gamma, beta = weights[f"{name}.weight"], weights[f"{name}.bias"]
        each = (gamma / (var + 1e-5).sqrt())[:, None, None]
        return ((x - mean[:, None, None]) * each + beta[:, None, None]).clamp(min=0)

    x = normalised(functional.conv2d(images_NCHW, weights["conv1.weight"], padding=1), "bn1")
    for stage in (1, 2, 3, 4):
        for index in (0, 1):
            at, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
            active = normalised(x, f"{at}.bn1")
            if stride == 2:
                shortcut = functional.conv2d(active, weights[f"{at}.shortcut.0.weight"], stride=2)
            else:
                shortcut = active if block == "released" else x
            inner = functional.conv2d(active, weights[f"{at}.conv1.weight"], stride=stride, padding=1)
            inner = normalised(inner, f"{at}.bn2")
            x = functional.conv2d(inner, weights[f"{at}.conv2.weight"], padding=1) + shortcut
    return x.mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_logits_are_those_of_a_plain_forward_pass(block: Block) -> None:
    model = models.build(network(block), 100, 0).double().eval()
    random = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.1, generator=random)
        if name.endswith("running_var"):
            buffer.uniform_(0.1, 0.5, generator=random)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=random)
    with torch.no_grad():
        expected, found = plain(model.state_dict(), images, block), model(images)
        other = plain(model.state_dict(), images, "he-2016" if block == "released" else "released")
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert (found - other).norm() > 0.1 * found.norm()


def test_both_have_the_parameters_of_the_released_network() -> None:
    counts = []
    for block in BLOCKS:
        named = dict(models.skeleton(network(block), 100).named_parameters())
        counts.append([(name, tensor.shape) for name, tensor in named.items()])
        assert sum(tensor.numel() for tensor in named.values()) == 11_217_444
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("block", "settings", "tensors", "scalars"),
    [
        ("released", {}, 9, 10_373_120),
        ("released", {"redraw_shortcuts": False}, 9, 10_373_120),
        ("released", {"redraw_shortcuts": True}, 11, 10_536_960),
        ("he-2016", {}, 11, 10_536_960),
        ("he-2016", {"redraw_shortcuts": False}, 9, 10_373_120),
    ],
    ids=str,
)
def test_llf_redraws_the_tensors_of_the_released_code_on_the_released_network(
    block: Block, settings: dict[str, Any], tensors: int, scalars: int
) -> None:
    model = models.build(network(block), 100, 0)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    forgotten = LLF(**settings).forget(TrainState(model, 0, "uniform_fan_in", generation=1))
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert (len(changed), sum(before[name].numel() for name in changed)) == (tensors, scalars)
    assert forgotten.redrawn == scalars
    assert (changed >= SHORTCUTS) == (tensors == 11)
    assert not changed & (SHORTCUTS if tensors == 9 else set())


def test_downsample_convs_of_other_networks_are_redrawn_whatever_is_said_about_shortcuts() -> None:
    for shortcuts in (None, True, False):
        model = models.build(models.ImageNetResNet(name="resnet18"), 200, 0)
        state = TrainState(model, 0, generation=1)
        assert reinit_late(state, "layer3", "uniform_fan_in", shortcuts=shortcuts) == 10_588_160


@pytest.mark.parametrize(
    ("recipe", "block", "first"),
    [
        ("official-code", None, "layer3.0.conv1.weight"),
        ("official-code", "released", "layer3.0.conv1.weight"),
        ("official-code", "he-2016", "layer3.0.bn1.weight"),
        ("paper", None, "layer3.0.bn1.weight"),
    ],
)
def test_the_first_batch_norm_of_stage_3_is_early_as_in_the_released_code(
    recipe: str, block: str | None, first: str
) -> None:
    model = {"name": "preact-resnet18-cifar"} | ({} if block is None else {"block": block})
    raw = {"data": {"name": "digits"}, "model": model, "method": {"name": "seal", "ascent_epochs": 2}}
    one = spec.parse(json.dumps(raw | {"train": {"recipe": recipe}}))
    assert isinstance(one.model, models.CifarPreActResNet18)
    assert one.model.block == (block or "released")
    assert isinstance(one.method, SEAL)
    names = [name for name, _ in models.skeleton(one.model, 2).named_parameters()]
    assert split_at(names, one.method.layer_threshold)[1][0] == first


def test_no_key_of_the_network_is_one_from_before_the_released_block() -> None:
    """Until version 2 the name stood for the blocks of He et al., so those checkpoints are of another network."""
    store = Store("sqlite://")
    made = [
        plan(read_spec(small(model={"name": "preact-resnet18-cifar"} | block), store)).nodes
        for block in ({}, {"block": "released"}, {"block": "he-2016"})
    ]
    assert made[0].keys() == made[1].keys()
    assert made[0].keys().isdisjoint(made[2].keys())
    before = "d08844e50817ec97bc4b41403e42ec65b95dbb2d9226a35c59a85d2b82f15a6d"  # of seed 0, generation 0
    assert all(before not in nodes for nodes in made)
    store.close()
