"""The distributions that initial weights are drawn from (protocols 2.3, 4.2, 5).

All draws are made in float32 on the CPU in the order of the shape, whatever the tensor's device, precision and memory
layout. The same seed and address therefore give the same values everywhere.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.core.seeding import generator

InitLaw = Literal["he_normal_fan_in", "he_normal_fan_out", "uniform_fan_in"]
"""The name of an initialisation distribution.

The two `he_normal` laws have standard deviation sqrt(2 / fan). `uniform_fan_in` is PyTorch's default,
U(+-1/sqrt(fan_in)).
"""


def fan_in(weight: Tensor) -> int:
    """Returns the number of inputs per output unit of a conv `[out, in, kh, kw]` or linear `[out, in]` weight."""
    return weight[0].numel()


def redraw(weight: Tensor, law: InitLaw, random: torch.Generator) -> None:
    """Overwrites a conv or linear weight with a draw from `law`."""
    fresh = torch.empty(weight.shape)
    match law:
        case "he_normal_fan_in":
            nn.init.kaiming_normal_(fresh, generator=random)
        case "he_normal_fan_out":
            nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu", generator=random)
        case "uniform_fan_in":
            bound = 1 / math.sqrt(fan_in(weight))
            nn.init.uniform_(fresh, -bound, bound, generator=random)
    weight.data.copy_(fresh)


def redraw_bias(bias: Tensor, weight: Tensor, random: torch.Generator) -> None:
    """Overwrites the bias that belongs to `weight` with a draw from U(+-1/sqrt(fan_in)), PyTorch's default."""
    bound = 1 / math.sqrt(fan_in(weight))
    bias.data.copy_(nn.init.uniform_(torch.empty(bias.shape), -bound, bound, generator=random))


def initialise(model: nn.Module, law: InitLaw, seed: int, *address: int) -> None:
    """Initialises all layers of `model`.

    Conv and linear weights are drawn from `law` and linear biases from U(+-1/sqrt(fan_in)). BatchNorm becomes the
    identity. `address` is empty for generation 0 and holds the generation's number if a later one starts from scratch.
    """
    for name, module in model.named_modules():
        match module:
            case nn.Conv2d() | nn.Linear():
                random = generator(seed, "init", name, *address)
                redraw(module.weight, law, random)
                if module.bias is not None:
                    redraw_bias(module.bias, module.weight, random)
            case nn.BatchNorm2d():
                module.reset_running_stats()
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            case _:
                own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
                assert not own, f"{name} ({type(module).__name__}) has no initialisation law"
