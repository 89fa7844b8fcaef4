"""The networks and their initialisation (SEAL paper section 4.1; protocols 2.2, 2.3).

Parameters carry torchvision's ResNet names (conv1, bn1, layer1.0.conv1, ..., fc), so published state dicts load.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from trainer.core.seeding import generator


class DigitsResNet(BaseModel):
    """Four stages of one basic block each over a 3x3 stem: 308,826 parameters at width 16 and 10 classes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Literal["resnet-digits"] = "resnet-digits"
    width: int = Field(16, ge=1, le=512, description="channels of the first stage; doubled at every further stage")

    def stage_points(self) -> list[str]:
        return ["layer1", "layer2", "layer3", "layer4"]

    def build(self, classes: int) -> nn.Module:
        return _DigitsResNet(self.width, classes)


class ImageNetResNet(BaseModel):
    """torchvision's ResNet with the 7x7 ImageNet stem, as the paper uses it on 64 px images."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Literal["resnet18", "resnet34", "resnet50"]

    def stage_points(self) -> list[str]:
        if self.name == "resnet18":
            return ["layer1", "layer2.0", "layer2", "layer3.0", "layer3", "layer4.0"]
        return ["layer1", "layer2.1", "layer2", "layer3.2", "layer3", "layer4.1"]

    def build(self, classes: int) -> nn.Module:
        import torchvision  # costs a second, which the digits models need not pay

        builders: dict[str, Callable[..., nn.Module]] = {
            "resnet18": torchvision.models.resnet18,
            "resnet34": torchvision.models.resnet34,
            "resnet50": torchvision.models.resnet50,
        }
        return builders[self.name](num_classes=classes)


ModelSpec = Annotated[DigitsResNet | ImageNetResNet, Field(discriminator="name")]


def build(spec: DigitsResNet | ImageNetResNet, classes: int, seed: int) -> nn.Module:
    """The network of `spec` with `classes` outputs, initialised from `seed`: equal arguments give equal weights."""
    with torch.device("meta"):
        model = spec.build(classes)
    model.to_empty(device="cpu")
    initialise(model, seed)
    return model


def skeleton(spec: DigitsResNet | ImageNetResNet, classes: int) -> nn.Module:
    """The network without weights (on torch's meta device): names and shapes at no cost."""
    with torch.device("meta"):
        return spec.build(classes)


def initialise(model: nn.Module, seed: int) -> None:
    """He normal (fan-in, ReLU gain) for conv and linear weights, U(+-1/sqrt(fan_in)) for linear biases, BN at identity."""
    for name, module in model.named_modules():
        match module:
            case nn.Conv2d() | nn.Linear():
                random = generator(seed, "init", name)
                nn.init.kaiming_normal_(module.weight, generator=random)
                if module.bias is not None:
                    bound = 1 / math.sqrt(fan_in(module.weight))
                    nn.init.uniform_(module.bias, -bound, bound, generator=random)
            case nn.BatchNorm2d():
                module.reset_running_stats()
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            case _:
                own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
                assert not own, f"{name} ({type(module).__name__}) has no initialisation law"


def fan_in(weight: Tensor) -> int:
    """Inputs per output unit of a conv `[out, in, kh, kw]` or linear `[out, in]` weight."""
    return weight[0].numel()


def split_at(parameter_names: list[str], threshold: str) -> tuple[list[str], list[str]]:
    """Splits names in registration order into those before the first parameter of layer `threshold`, and the rest.

    Whole name components are matched: `layer1` does not match `layer10`. Raises ValueError where the model has no such layer.
    """
    wanted = threshold.split(".")
    for index, name in enumerate(parameter_names):
        if name.split(".")[: len(wanted)] == wanted:
            return parameter_names[:index], parameter_names[index:]
    layers = list(dict.fromkeys(name.split(".")[0] for name in parameter_names))
    raise ValueError(f"layer_threshold {threshold!r} is not a layer of this model; it has {', '.join(layers)}")


class _BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.bn2(self.conv2(out))
        shortcut = x_NCHW if self.downsample is None else self.downsample(x_NCHW)
        return torch.as_tensor(self.relu(out + shortcut))


class _DigitsResNet(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(_BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(_BasicBlock(width, 2 * width, 2))
        self.layer3 = nn.Sequential(_BasicBlock(2 * width, 4 * width, 2))
        self.layer4 = nn.Sequential(_BasicBlock(4 * width, 8 * width, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x_NCHW)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.as_tensor(self.fc(self.avgpool(x).flatten(1)))
