"""Residual networks with a 3x3 stem for small images.

The blocks are those of He et al. 2016, and of He et al. 2016b for the pre-activation variant.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional


def resnet(width: int, blocks: tuple[int, ...], classes: int, pad_shortcut: bool = False) -> nn.Module:
    """Returns a ResNet of post-activation basic blocks, with `blocks[i]` of them in stage i."""
    return _SmallImageResNet(partial(_BasicBlock, pad_shortcut=pad_shortcut), width, blocks, classes)


def preact_resnet(width: int, blocks: tuple[int, ...], classes: int, *, released: bool) -> nn.Module:
    """Returns a pre-activation ResNet.

    BN and ReLU precede each conv and follow the stem, but do not precede the pooling. Where no conv is on the shortcut,
    a block adds its activated input relu(bn1(x)) if `released`, as SEAL's released code does, and x itself otherwise,
    as He et al. 2016b do. The two kinds have the same parameters.
    """
    return _SmallImageResNet(_ReleasedPreActBlock if released else _PreActBlock, width, blocks, classes)


class _SmallImageResNet(nn.Module):
    """A ResNet whose stages after the first double the channels and have stride 2."""

    def __init__(
        self, block: Callable[[int, int, int], nn.Module], width: int, blocks: tuple[int, ...], classes: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        inputs = width
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            first = block(inputs, outputs, 1 if stage == 0 else 2)
            rest = [block(outputs, outputs, 1) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
            inputs = outputs
        self.stages = len(blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x_NCHW)))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        out_NC: Tensor = self.fc(self.avgpool(x).flatten(1))
        return out_NC


class _BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, *, pad_shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        self.pads = pad_shortcut and (stride != 1 or inputs != outputs)
        if stride != 1 or inputs != outputs:
            if pad_shortcut:
                self.downsample = _Strided(stride)
            else:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.bn2(self.conv2(out))
        shortcut = x_NCHW if self.downsample is None else self.downsample(x_NCHW)
        if self.pads:  # to the current number of channels, because a slim network has fewer
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, out.shape[1] - shortcut.shape[1]))
        out_NCHW: Tensor = self.relu(out + shortcut)
        return out_NCHW


class _Strided(nn.Module):
    """The parameter-free shortcut, which takes every `stride`-th pixel (He et al. 2016, option A).

    The block itself appends channels of zeros.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW[:, :, :: self.stride, :: self.stride]


class _PreActBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out = self.relu(self.bn1(x_NCHW))
        shortcut = x_NCHW if self.shortcut is None else self.shortcut(out)
        out = self.conv2(self.relu(self.bn2(self.conv1(out))))
        out_NCHW: Tensor = out + shortcut
        return out_NCHW


class KeptShortcut(nn.Sequential):
    """The conv on the shortcut of a released block, which SEAL's released code leaves alone where LLF re-draws."""


class _ReleasedPreActBlock(_PreActBlock):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        if isinstance(self.shortcut, nn.Sequential):
            self.shortcut = KeptShortcut(*self.shortcut)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        activated = self.relu(self.bn1(x_NCHW))
        shortcut = activated if self.shortcut is None else self.shortcut(activated)
        out_NCHW: Tensor = self.conv2(self.relu(self.bn2(self.conv1(activated)))) + shortcut
        return out_NCHW
