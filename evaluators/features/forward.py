"""Forward passes of a frozen network in batches: logits and the outputs of named layers.

Legend: N images, C channels or classes, H x W pixels. Everything is in eval mode, in the dtype and on
the device of the model's parameters, without gradients.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainer.core.data import Dataset

BATCH = 256


def logits(model: nn.Module, images_NCHW: Tensor, dataset: Dataset) -> Tensor:
    """`[N, C]`, the output of `model`, for uint8 images normalised as `dataset` says. Raises ValueError where
    one is not finite, as after a diverged training."""
    logits_NC = torch.cat(list(forward(model, images_NCHW, dataset)))
    if not torch.isfinite(logits_NC).all():
        raise ValueError("the network's logits are not all finite, its training diverged: evaluate an earlier one")
    return logits_NC


def forward(model: nn.Module, images_NCHW: Tensor, dataset: Dataset) -> Iterator[Tensor]:
    """The logits `[batch, C]` of one batch of images after another."""
    parameter = next(model.parameters())
    model.eval()
    for batch_NCHW in torch.split(images_NCHW, BATCH):
        # not around the yield: the consumer of a generator would inherit the mode
        with torch.no_grad():
            out_NC = model(dataset.floats(batch_NCHW.to(parameter.device), parameter.dtype))
        yield out_NC


@contextmanager
def activations(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """While open, each forward pass of `model` puts the outputs of its submodules `layers` into the dict it yields.

    Raises ValueError for a layer the model does not have.
    """
    modules = dict(model.named_modules())
    outputs: dict[str, Tensor] = {}
    handles = []
    try:
        for layer in layers:
            if layer not in modules or not layer:
                top = ", ".join(name for name, _ in model.named_children())
                raise ValueError(f"layer {layer!r} is not a layer of this model; its outermost are {top}")
            handles.append(modules[layer].register_forward_hook(_keeping(outputs, layer)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _keeping(outputs: dict[str, Tensor], layer: str) -> Any:
    def keep(_module: nn.Module, _arguments: tuple[Any, ...], output: Tensor) -> None:
        outputs[layer] = output.detach().clone()  # the layer after it may be a ReLU that works in place

    return keep
