"""The networks against the counts, sizes, laws and thresholds of protocols 2.2, 2.3, 3, 4.2 and 5."""

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from trainer import spec
from trainer.core import models
from trainer.core.layers import output_layer, split_at
from trainer.core.reinit import reinit_late
from trainer.core.state import TrainState
from trainer.methods import LLF, SEAL

R18, R50 = models.ImageNetResNet(name="resnet18"), models.ImageNetResNet(name="resnet50")
CIFAR18, PREACT18 = (
    models.CifarResNet18(name="resnet18-cifar"),
    models.CifarPreActResNet18(name="preact-resnet18-cifar"),
)
R110, R110_PAD = (models.CifarResNet110(name="resnet110-cifar", shortcut=shortcut) for shortcut in ("conv", "pad"))
EVERY_MODEL = [
    (R18, 200),
    (R50, 200),
    (CIFAR18, 100),
    (PREACT18, 100),
    (R110, 100),
    (R110_PAD, 100),
    (models.DigitsResNet(), 10),
]


def parameters(model: models.AnyModel, classes: int) -> dict[str, Tensor]:
    return dict(models.skeleton(model, classes).named_parameters())


def scalars(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


@pytest.mark.parametrize(
    ("model", "total", "early", "late", "redrawn", "left_alone"),
    [
        (R50, 23_917_832, (72, 1_444_928), (89, 22_472_904), (30, 22_429_696), (59, 43_208)),
        (R18, 11_279_112, (30, 683_072), (32, 10_596_040), (11, 10_588_160), (21, 7_880)),
    ],
    ids=["resnet50", "resnet18"],
)
def test_tensors_and_scalars_at_layer3_with_200_classes(
    model: models.AnyModel,
    total: int,
    early: tuple[int, int],
    late: tuple[int, int],
    redrawn: tuple[int, int],
    left_alone: tuple[int, int],
) -> None:
    found = parameters(model, 200)
    sides = [[found[name] for name in side] for side in split_at(list(found), "layer3")]
    weights = [tensor for tensor in sides[1] if tensor.ndim > 1]
    rest = [tensor for tensor in sides[1] if tensor.ndim == 1]
    assert scalars(list(found.values())) == total
    assert [(len(each), scalars(each)) for each in (*sides, weights, rest)] == [early, late, redrawn, left_alone]


@pytest.mark.parametrize("model", [R18, models.DigitsResNet(width=4)], ids=lambda each: each.name)
def test_llf_redraws_as_many_scalars_as_are_weights_of_the_late_side(model: models.AnyModel) -> None:
    found = parameters(model, 100)
    late = [found[name] for name in split_at(list(found), "layer3")[1] if found[name].ndim > 1]
    state = TrainState(models.build(model, 100, 0), 0, generation=1)
    assert reinit_late(state, "layer3", "uniform_fan_in") == scalars(late)


@pytest.mark.parametrize(
    ("model", "layers", "count"), [(R50, 53, 53_120), (R18, 20, 9_600)], ids=["resnet50", "resnet18"]
)
def test_batch_norm_layers_and_scalars(model: models.AnyModel, layers: int, count: int) -> None:
    norms = [module for module in models.skeleton(model, 200).modules() if isinstance(module, nn.BatchNorm2d)]
    assert (len(norms), sum(norm.num_features * 2 for norm in norms)) == (layers, count)


@pytest.mark.parametrize(("model", "classes"), EVERY_MODEL, ids=str)
def test_batch_norm_has_the_usual_constants_and_only_the_output_layer_a_bias(
    model: models.AnyModel, classes: int
) -> None:
    network = models.skeleton(model, classes)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, norm.affine, norm.track_running_stats) for norm in norms} == {
        (1e-5, 0.1, True, True)
    }
    assert all(module.bias is None for module in network.modules() if isinstance(module, nn.Conv2d))
    assert output_layer(list(dict(network.named_parameters()))) == ["fc.weight", "fc.bias"]


def sizes(model: models.AnyModel, classes: int, pixels: int) -> list[tuple[int, ...]]:
    """Channels and pixels after each stage, and the shape of the output."""
    network = models.skeleton(model, classes)
    found: list[tuple[int, ...]] = []
    for name, module in network.named_children():
        if name.startswith("layer"):
            module.register_forward_hook(lambda _, __, output: found.append(tuple(output.shape[1:])))
    output = network(torch.empty(2, 3, pixels, pixels, device="meta"))
    return [*found, tuple(output.shape)]


def test_spatial_sizes() -> None:
    assert sizes(R50, 200, 64) == [(256, 16, 16), (512, 8, 8), (1024, 4, 4), (2048, 2, 2), (2, 200)]
    assert sizes(R18, 200, 64) == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (2, 200)]
    assert sizes(CIFAR18, 100, 32) == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (2, 100)]
    assert sizes(PREACT18, 100, 32) == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (2, 100)]
    for each in (R110, R110_PAD):
        assert sizes(each, 100, 32) == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (2, 100)]


def test_resnet50_has_its_stride_on_the_3x3_conv() -> None:
    block = models.skeleton(R50, 200).get_submodule("layer2.0")
    convs = [module for module in block.children() if isinstance(module, nn.Conv2d)]
    assert [conv.kernel_size for conv in convs] == [(1, 1), (3, 3), (1, 1)]
    assert [conv.stride for conv in convs] == [(1, 1), (2, 2), (1, 1)]


def test_the_ordinary_cifar_resnet18_counts_by_its_closed_form() -> None:
    """Stem, two blocks of two convs a stage, 1x1 convs where channels double, a BN per conv, 100 classes."""
    total = 27 * 64 + 2 * 64 + 512 * 100 + 100
    for before, width in ((64, 64), (64, 128), (128, 256), (256, 512)):
        total += 9 * before * width + 3 * 9 * width**2 + 4 * 2 * width
        total += before * width + 2 * width if before != width else 0
    assert scalars(list(parameters(CIFAR18, 100).values())) == total == 11_220_132


@pytest.mark.parametrize("shortcut", ["conv", "pad"])
def test_resnet110_counts_by_its_closed_form(shortcut: Any) -> None:
    n, widths, classes = 18, (16, 32, 64), 100
    inputs = (16, 16, 32)
    total = 3 * 9 * 16 + 2 * 16 + 64 * classes + classes
    for before, width in zip(inputs, widths, strict=True):
        total += 9 * before * width + 9 * width**2 * (2 * n - 1) + 2 * n * 2 * width
        if shortcut == "conv" and before != width:
            total += before * width + 2 * width
    found = parameters(models.CifarResNet110(name="resnet110-cifar", shortcut=shortcut), classes)
    assert scalars(list(found.values())) == total
    assert sum(name.endswith(("conv1.weight", "conv2.weight", "fc.weight")) for name in found) == 110


def test_the_digits_net_has_308826_parameters() -> None:
    assert scalars(list(parameters(models.DigitsResNet(), 10).values())) == 308_826


LAW = {"he_normal_fan_in": 2.0, "he_normal_fan_out": 2.0, "uniform_fan_in": 1 / 3}


@pytest.mark.parametrize(
    ("model", "law", "conv"),
    [
        (R18, "he_normal_fan_in", "layer3.0.conv1.weight"),
        (CIFAR18, "he_normal_fan_in", "layer3.0.conv1.weight"),
        (PREACT18, "uniform_fan_in", "layer3.0.conv1.weight"),
        (R110, "he_normal_fan_out", "layer3.0.conv1.weight"),
        (models.DigitsResNet(width=64), "he_normal_fan_in", "layer3.0.conv1.weight"),
    ],
    ids=lambda each: getattr(each, "name", each),
)
def test_initialisation_law(model: models.AnyModel, law: str, conv: str) -> None:
    """The first conv of a stage has twice as many outputs as inputs, which distinguishes fan-in from fan-out."""
    network = models.build(model, 100, 0)
    weight, output, bias = (network.get_parameter(name) for name in (conv, "fc.weight", "fc.bias"))
    fan = 9 * weight.shape[0 if law == "he_normal_fan_out" else 1]
    assert weight.std().item() == pytest.approx(math.sqrt(LAW[law] / fan), rel=0.02)
    fan = 100 if law == "he_normal_fan_out" else output.shape[1]
    assert output.std().item() == pytest.approx(math.sqrt(LAW[law] / fan), rel=0.03)
    edge = 1 / math.sqrt(output.shape[1])
    assert 0.9 * edge < bias.abs().max() <= edge
    if law == "uniform_fan_in":
        assert weight.abs().max() <= 1 / math.sqrt(fan_in(weight))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, value in (
                (module.weight, 1),
                (module.bias, 0),
                (module.running_mean, 0),
                (module.running_var, 1),
            ):
                assert tensor is not None
                assert (tensor == value).all()


def fan_in(weight: Tensor) -> int:
    return weight.numel() // weight.shape[0]


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    first, again, other = (models.build(models.DigitsResNet(), 10, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize(
    ("model", "index", "stage"),
    [
        (R50, 2, "layer1"),
        (R50, 11, "layer2"),
        (R50, 23, "layer3"),
        (R50, 41, "layer4"),
        (R18, 10, "layer3"),
        (R18, 14, "layer4"),
    ],
    ids=str,
)
def test_the_papers_conv_index_is_the_stages_name(model: models.AnyModel, index: int, stage: str) -> None:
    names = list(parameters(model, 200))
    assert split_at(names, index) == split_at(names, stage)


def test_a_conv_in_the_middle_of_a_block_cuts_there() -> None:
    early, late = split_at(list(parameters(R18, 200)), 11)
    assert (early[-1], late[0]) == ("layer3.0.bn1.bias", "layer3.0.conv2.weight")


def test_conv_23_of_resnet18_is_refused_with_what_there_is() -> None:
    (found,) = SEAL(layer_threshold=23).problems(160, list(parameters(R18, 200)))
    assert found == (
        "layer_threshold",
        "layer_threshold 23 is not a conv of this model: it has 17 (downsample convs not counted; "
        "layer1 is 2, layer2 is 6, layer3 is 10, layer4 is 14)",
    )


def test_a_threshold_matches_whole_name_components() -> None:
    assert split_at(["layer10.w", "layer1.w", "fc.w"], "layer1") == (["layer10.w"], ["layer1.w", "fc.w"])
    with pytest.raises(
        ValueError, match="layer_threshold 'layer' is not a layer of this model; it has layer10, layer1, fc"
    ):
        split_at(["layer10.w", "layer1.w", "fc.w"], "layer")


@pytest.mark.parametrize(
    ("model", "method", "threshold"),
    [
        ("resnet110-cifar", {"name": "seal"}, "layer2.9"),
        ("resnet110-cifar", {"name": "llf"}, "layer2.9"),
        ("resnet110-cifar", {"name": "llf", "layer_threshold": "layer3"}, "layer3"),
        ("resnet110-cifar", {"name": "seal", "layer_threshold": 38}, 38),
        ("resnet50", {"name": "seal"}, "layer3"),
        ("resnet50", {"name": "seal", "layer_threshold": 23}, 23),
    ],
    ids=str,
)
def test_the_threshold_where_none_is_given(model: str, method: dict[str, Any], threshold: str | int) -> None:
    one = spec.parse(json.dumps({"data": {"name": "digits"}, "model": {"name": model}, "method": method}))
    assert isinstance(one.method, LLF | SEAL)
    assert one.method.layer_threshold == threshold


def test_layer2_9_is_the_first_block_of_the_second_half_of_resnet110() -> None:
    early, late = split_at(list(parameters(R110, 100)), "layer2.9")
    assert late[0] == "layer2.9.conv1.weight"
    assert [
        sum(name.endswith("conv1.weight") and name != "conv1.weight" for name in side) for side in (early, late)
    ] == [
        27,
        27,
    ]


def test_a_published_state_dict_loads_and_gives_the_same_outputs() -> None:
    theirs = resnet50(num_classes=200).eval()
    ours = models.build(R50, 200, 0).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.linspace(-2, 2, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize(
    ("width", "layout"), [(4, torch.contiguous_format), (15, torch.contiguous_format), (16, torch.channels_last)]
)
def test_networks_with_narrow_1x1_convs_are_not_trained_in_channels_last(
    width: int, layout: torch.memory_format
) -> None:
    """Their backward would write beyond its buffers; at 64 px this very step ended the process."""
    spec = models.DigitsResNet(width=width)
    model = models.build(spec, 3, 0)
    assert models.memory_format(model) == layout
    model.to(memory_format=layout)
    images = torch.zeros(4, 3, 64, 64)
    for _ in range(2):
        model(images).sum().backward()
