"""Forward passes of a frozen network in batches, which give its logits and the outputs of named layers.

All passes are in eval mode, without gradients, in the dtype and on the device of the model's parameters.
Legend: N images, C channels or classes, H x W pixels.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainer.core.data import Dataset

BATCH = 256


def logits(model: nn.Module, images_NCHW: Tensor, dataset: Dataset) -> Tensor:
    """Returns the logits `[N, C]` of `model` for uint8 images, which are normalised as `dataset` defines.

    Raises ValueError if a logit is not finite, as after a diverged training.
    """
    logits_NC = torch.cat(list(forward(model, images_NCHW, dataset)))
    if not torch.isfinite(logits_NC).all():
        raise ValueError("the network's logits are not all finite, its training diverged: evaluate an earlier one")
    return logits_NC


def forward(model: nn.Module, images_NCHW: Tensor, dataset: Dataset) -> Iterator[Tensor]:
    """Yields the logits `[batch, C]` of one batch of uint8 images after another."""
    parameter = next(model.parameters())
    model.eval()
    for batch_NCHW in torch.split(images_NCHW, BATCH):
        # no_grad must not enclose the yield, because the consumer of the generator would inherit it
        with torch.no_grad():
            out_NC = model(dataset.floats(batch_NCHW.to(parameter.device), parameter.dtype))
        yield out_NC


@contextmanager
def activations(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Yields a dict into which each forward pass of `model` puts the outputs of its submodules `layers`.

    Raises ValueError for a layer that the model does not have.
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
        outputs[layer] = output.detach().clone()  # the next layer may be an in-place ReLU

    return keep
