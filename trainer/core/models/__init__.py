"""The networks (SEAL paper section 4.1; protocols 2.2 and 5) and their initialisation.

Parameters have torchvision's ResNet names (conv1, bn1, layer1.0.conv1, ..., fc), so that published state dicts load.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from trainer.core.init import InitLaw, initialise
from trainer.core.models.resnet import preact_resnet, resnet


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: ClassVar[int] = 1
    """A part of every content key where it is not 1. It must be increased if equal settings build another network."""

    @property
    def init_law(self) -> InitLaw:
        """The distribution that conv and linear weights are drawn from."""
        return "he_normal_fan_in"

    def stage_points(self) -> list[str]:
        """Returns the layers whose features prediction depth compares, from input to output, without the last layer."""
        return ["layer1", "layer2.0", "layer2", "layer3.0", "layer3", "layer4.0"]


class DigitsResNet(_Model):
    """Four stages of one basic block each over a 3x3 stem: 308,826 parameters at width 16 and 10 classes."""

    name: Literal["resnet-digits"] = "resnet-digits"
    width: int = Field(16, ge=1, le=512, description="channels of the first stage; doubled at every further stage")

    def stage_points(self) -> list[str]:
        return ["layer1", "layer2", "layer3", "layer4"]

    def build(self, classes: int) -> nn.Module:
        return resnet(self.width, (1, 1, 1, 1), classes)


class ImageNetResNet(_Model):
    """torchvision's ResNet with the 7x7 ImageNet stem, as the paper uses it on 64 px images."""

    name: Literal["resnet18", "resnet34", "resnet50"]

    def stage_points(self) -> list[str]:
        if self.name == "resnet18":
            return super().stage_points()
        return ["layer1", "layer2.1", "layer2", "layer3.2", "layer3", "layer4.1"]

    def build(self, classes: int) -> nn.Module:
        import torchvision  # its import takes a second, and the other models do not need it

        builders: dict[str, Callable[..., nn.Module]] = {
            "resnet18": torchvision.models.resnet18,
            "resnet34": torchvision.models.resnet34,
            "resnet50": torchvision.models.resnet50,
        }
        return builders[self.name](num_classes=classes)


class CifarResNet18(_Model):
    """ResNet-18 with a 3x3 stem and no pooling, for 32 px images: 11,220,132 parameters with 100 classes."""

    name: Literal["resnet18-cifar"]

    def build(self, classes: int) -> nn.Module:
        return resnet(64, (2, 2, 2, 2), classes)


class CifarPreActResNet18(_Model):
    """The pre-activation ResNet-18 of SEAL's released code: no BN or ReLU before pooling, default initialisation.

    With `block` he-2016 it has the blocks of He et al. 2016b, which the released code does not.
    """

    version: ClassVar[int] = 2

    name: Literal["preact-resnet18-cifar"]
    block: Literal["released", "he-2016"] = Field(
        "released",
        description="what a block without a conv on its shortcut adds: relu(bn1(x)) as SEAL's released code, "
        "or x as He et al. 2016b; LLF leaves the convs on shortcuts of `released` alone, as that code does",
    )

    @property
    def init_law(self) -> InitLaw:
        return "uniform_fan_in"

    def build(self, classes: int) -> nn.Module:
        return preact_resnet(64, (2, 2, 2, 2), classes, released=self.block == "released")


class CifarResNet110(_Model):
    """Three stages of 18 basic blocks, 16 to 64 channels (He et al. 2016, section 4.2), as in the paper's Table 9."""

    name: Literal["resnet110-cifar"]
    shortcut: Literal["conv", "pad"] = Field(
        "conv",
        description="where channels double: 1x1 conv and BN (the public recipe), or zero padding without parameters",
    )

    @property
    def init_law(self) -> InitLaw:
        return "he_normal_fan_out"

    def stage_points(self) -> list[str]:
        return ["layer1", "layer2.8", "layer2", "layer3.8"]

    def build(self, classes: int) -> nn.Module:
        return resnet(16, (18, 18, 18), classes, pad_shortcut=self.shortcut == "pad")


AnyModel = DigitsResNet | ImageNetResNet | CifarResNet18 | CifarPreActResNet18 | CifarResNet110
ModelSpec = Annotated[AnyModel, Field(discriminator="name")]


MIDDLES = {"resnet110-cifar": "layer2.9"}
"""The default layer threshold of networks without a fourth stage. All others have layer3 (protocols section 3)."""


def released_middle(model: dict[str, Any]) -> str | None:
    """Returns the layer threshold of the released code for the raw `model`, where it differs from the default.

    That code asks for BatchNorm before it asks for the threshold, so the first BatchNorm of the pre-activation
    network's third stage is early (protocols section 5).
    """
    released = model.get("name") == "preact-resnet18-cifar" and model.get("block", "released") == "released"
    return "layer3.0.conv1" if released else None


def middle(spec: AnyModel) -> str:
    """Returns the default layer threshold of the model: the first layer that counts as late."""
    return MIDDLES.get(spec.name, "layer3")


def build(spec: AnyModel, classes: int, seed: int) -> nn.Module:
    """Returns the network of `spec` with `classes` outputs, initialised from `seed`.

    Equal arguments give equal weights.
    """
    model = skeleton(spec, classes).to_empty(device="cpu")
    initialise(model, spec.init_law, seed)
    return model


def memory_format(model: nn.Module) -> torch.memory_format:
    """Returns the memory layout to train in: channels_last unless a 1x1 conv has fewer than 16 input channels.

    On CPUs, from 64 px on, the backward pass of such a conv with stride 2 in channels_last writes beyond its buffers.
    In torch 2.15 on AVX512, one such conv and `sum().backward()` end in a segmentation fault.
    """
    narrow = any(isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and m.in_channels < 16 for m in model.modules())
    return torch.contiguous_format if narrow else torch.channels_last


def skeleton(spec: AnyModel, classes: int) -> nn.Module:
    """Returns the network on torch's meta device, which gives names and shapes without allocating weights."""
    with torch.device("meta"):
        return spec.build(classes)
