"""Prepares a frozen network for fast forward passes and computes the outputs of its layers.

Legend: N images, C channels, H x W pixels, D outputs of a layer for one image.
"""

import copy
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evaluators.features.forward import activations
from trainer.core.data import Dataset

PENULTIMATE = "penultimate"
"""The name of the layer output that is the input of `fc`, after global pooling."""
Precision = Literal["exact", "bf16"]
"""The arithmetic of the forward pass. `exact` uses the network's own dtype. `bf16` is about twice as fast but rounds
every layer to 8 bits, which is NOT equivalent."""
PIXELS = 256 * 64 * 64
"""The number of pixels in one forward pass: enough to be fast, few enough that 224 px images fit in memory."""


def prepared(model: nn.Module, layers: Collection[str], precision: Precision) -> nn.Module:
    """Returns a copy of `model` in eval mode that computes the same outputs of `layers` with less work.

    Each BatchNorm that follows a conv is folded into it (equal up to rounding), unless `layers` contains one of the
    two. Networks of 32 and 16 bits get the memory layout channels_last. A network that cannot be traced is left
    unfolded.
    """
    network = copy.deepcopy(model).eval().requires_grad_(False)
    for module in network.modules():  # otherwise the original's hooks would receive the copy's outputs
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    for conv, norm in _foldable(network):
        if conv not in layers and norm not in layers:
            pair: Any = (network.get_submodule(conv), network.get_submodule(norm))
            network.set_submodule(conv, fuse_conv_bn_eval(*pair))
            network.set_submodule(norm, nn.Identity())
    if precision == "bf16":
        network = network.to(torch.bfloat16)
    if next(network.parameters()).dtype != torch.float64:
        network = network.to(memory_format=torch.channels_last)
    return network


def outputs(
    network: nn.Module, dataset: Dataset, images_NCHW: Tensor, layers: Collection[str], pool: str, precision: Precision
) -> dict[str, Tensor]:
    """Returns the outputs `[N, D]` of each of `layers` for uint8 images. A bf16 network gives float32 outputs.

    Raises ValueError for a layer that the network lacks and if an output is not finite.
    """
    parameter = next(network.parameters())
    pieces: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    batch = max(1, PIXELS // (images_NCHW.shape[-1] * images_NCHW.shape[-2]))
    named = [layer for layer in layers if layer != PENULTIMATE]
    with _input_of_fc(network) as kept, activations(network, named) as found, torch.no_grad():
        for batch_NCHW in torch.split(images_NCHW, batch):
            floats_NCHW = dataset.floats(batch_NCHW.to(parameter.device), parameter.dtype)
            if floats_NCHW.dtype != torch.float64:
                floats_NCHW = floats_NCHW.contiguous(memory_format=torch.channels_last)
            network(floats_NCHW)
            for layer in layers:
                values = kept[0] if layer == PENULTIMATE else found[layer]
                values = values.float() if precision == "bf16" else values
                pieces[layer].append(values.mean((2, 3)) if pool == "avg" and values.ndim == 4 else values.flatten(1))
    together = {layer: torch.cat(each) for layer, each in pieces.items()}
    for values_ND in together.values():
        if not torch.isfinite(values_ND).all():
            raise ValueError(
                "the network's features are not all finite, its training diverged: evaluate an earlier one"
            )
    return together


@contextmanager
def _input_of_fc(network: nn.Module) -> Iterator[list[Tensor]]:
    """Yields a list that holds the input of `fc` after each forward pass."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        kept[:] = [arguments[0]]

    handle = network.get_submodule("fc").register_forward_pre_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _foldable(network: nn.Module) -> list[tuple[str, str]]:
    """Returns the names of each conv and its BatchNorm, where the BatchNorm alone reads the conv and both run once."""
    try:
        nodes = list(fx.symbolic_trace(network).graph.nodes)
    except Exception:  # tracing foreign code may raise anything
        return []
    calls = [node.target for node in nodes if node.op == "call_module"]

    def once(node: Any, kind: type[nn.Module]) -> bool:
        return (
            node.op == "call_module"
            and isinstance(network.get_submodule(node.target), kind)
            and calls.count(node.target) == 1
        )

    return [
        (node.args[0].target, node.target)
        for node in nodes
        if once(node, nn.BatchNorm2d) and once(node.args[0], nn.Conv2d) and len(node.args[0].users) == 1
    ]
