"""Masks over conv and linear weights.

A mask maps the name of a parameter to a bool tensor of the weight's shape. True means that the weight is kept.
"""

import copy
import math

import torch
from torch import Tensor, nn

from trainer.core.seeding import generator

ForgettingMask = dict[str, Tensor]


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Returns the weights that masks cover, by name: those of conv and linear layers, without biases and BatchNorm."""
    modules = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return {f"{name}.weight": module.weight for name, module in modules}


def kels(model: nn.Module, split_rate: float) -> ForgettingMask:
    """Returns the kernel-level split (Taha et al., Knowledge Evolution, CVPR 2021).

    It keeps the first ceil(s * C) output channels and input channels of every layer, where s is `split_rate`. The first
    conv keeps all its inputs and the output layer keeps all its rows.
    """
    found = weights(model)
    names = list(found)
    mask = {}
    for name, weight in found.items():
        outputs = weight.shape[0] if name == names[-1] else kept_channels(weight.shape[0], split_rate)
        inputs = weight.shape[1] if name == names[0] else kept_channels(weight.shape[1], split_rate)
        mask[name] = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
        mask[name][:outputs, :inputs] = True
    return mask


def wels(model: nn.Module, split_rate: float, seed: int, *address: int) -> ForgettingMask:
    """Returns the weight-level split: each weight is kept independently with probability `split_rate`."""
    return {
        name: (torch.rand(weight.shape, generator=generator(seed, "mask", *address, name)) >= 1 - split_rate).to(
            weight.device
        )
        for name, weight in weights(model).items()
    }


def kept_channels(channels: int, split_rate: float) -> int:
    """Returns ceil(s * C), where s is taken as the decimal number that was written: 0.8 of 5 channels is 4, not 5."""
    return math.ceil(round(split_rate * channels, 9))


def lowest(magnitudes: dict[str, Tensor], alive: ForgettingMask, rate: float) -> ForgettingMask:
    """Returns `alive` without the fraction `rate`, rounded down, of its smallest weights.

    The weights of all tensors in `magnitudes` are ranked together.
    """
    ranked = torch.cat([magnitudes[name][alive[name]] for name in magnitudes])
    drop = torch.zeros(len(ranked), dtype=torch.bool, device=ranked.device)
    drop[ranked.sort(stable=True).indices[: int(round(rate * len(ranked), 9))]] = True
    mask = {}
    for name, part in zip(magnitudes, torch.split(drop, [int(alive[name].sum()) for name in magnitudes]), strict=True):
        mask[name] = alive[name].clone()
        mask[name][alive[name]] = ~part
    return mask


def slim(model: nn.Module, split_rate: float) -> nn.Module:
    """Returns the slim network that Knowledge Evolution deploys (KE, section 3).

    It consists of the channels that `kels` keeps, with their weights and statistics.
    """
    thin = copy.deepcopy(model)
    mask = kels(model, split_rate)
    for name, module in list(thin.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            outputs = int(mask[f"{name}.weight"].any(1 if module.weight.ndim == 2 else (1, 2, 3)).sum())
            inputs = int(mask[f"{name}.weight"].any(0 if module.weight.ndim == 2 else (0, 2, 3)).sum())
            module.weight = nn.Parameter(module.weight[:outputs, :inputs].detach().clone())
            if isinstance(module, nn.Conv2d):
                module.out_channels, module.in_channels = outputs, inputs
            else:
                module.out_features, module.in_features = outputs, inputs
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = kept = kept_channels(module.num_features, split_rate)
            module.weight = nn.Parameter(module.weight[:kept].detach().clone())
            module.bias = nn.Parameter(module.bias[:kept].detach().clone())
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean, module.running_var = (
                module.running_mean[:kept].clone(),
                module.running_var[:kept].clone(),
            )
    return thin
