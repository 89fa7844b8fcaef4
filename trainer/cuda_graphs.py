"""Replays the training steps of a generation from a CUDA graph.

With small batches, launching the kernels takes longer than running them. Everything that a step reads or writes keeps
its place in memory: the batch, the rates, the momentum and the sums over the epoch. Learning rate (with its sign) and
weight decay are tensors on the device, so ascent and descent replay the same graph.
Shapes: B batch, C classes, H and W pixels.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from trainer.core.distributed import Workers
from trainer.core.models import memory_format
from trainer.core.state import TrainState
from trainer.methods.base import Method
from trainer.spec import TrainSpec

_WARM_UP = 3
"""The number of steps before the capture, in which libraries select algorithms and allocate memory."""


def graphable(method: Method, generation: int) -> bool:
    """Returns whether every step of `generation` is the same forward pass, backward pass and update.

    That excludes hooks around steps and exchange between workers.
    """
    if Workers.here().count > 1:
        return False
    kind = type(method)
    plain = (kind.before_step, kind.after_step) == (Method.before_step, Method.after_step)
    return method.identity(generation) is None or (plain and (kind.static_loss or kind.loss is Method.loss))


class GraphedSteps:
    """Training steps with the update of torch.optim.SGD: v = mu v + g + wd p; p -= lr v.

    At the start of every epoch, the rates are read from an optimizer, whose momentum buffers become those of the graph.
    The graph is captured again when the set of trained parameters changes, as it does if a phase freezes some. On a CPU
    the same steps run without a graph.
    """

    def __init__(self, spec: TrainSpec, state: TrainState) -> None:
        self._train, self._method, self._state = spec.train, spec.method, state
        self._cross_entropy = partial(functional.cross_entropy, label_smoothing=spec.train.label_smoothing)
        self._totals = torch.zeros(
            2, dtype=torch.float64, device=state.device
        )  # sum of the losses, correct predictions
        self._groups: dict[str, list[Tensor]] = {}  # the trained parameters; all three dicts are by group
        self._momentum: dict[str, list[Tensor]] = {}
        self._rates: dict[str, Tensor] = {}  # lr and weight decay
        self._replay: Callable[[], object] | None = None

    def begin_epoch(self, optimizer: torch.optim.SGD) -> Tensor:
        """Takes over the optimizer's rates and momentum.

        Returns the epoch's sum of losses and number of correct predictions `[2]`, which start from zero.
        """
        groups = {group["name"]: group["params"] for group in optimizer.param_groups}
        if groups.keys() != self._groups.keys():
            self._groups, self._replay = groups, None
            self._rates = {name: torch.zeros(2, dtype=self._state.dtype, device=self._state.device) for name in groups}
            self._momentum = {name: [torch.zeros_like(each) for each in group] for name, group in groups.items()}
        for group in optimizer.param_groups:
            for rate, value in zip(self._rates[group["name"]], (group["lr"], group["weight_decay"]), strict=True):
                rate.fill_(value)
            for parameter, buffer in zip(group["params"], self._momentum[group["name"]], strict=True):
                carried = optimizer.state[parameter].get("momentum_buffer")
                buffer.copy_(torch.zeros_like(buffer) if carried is None else carried)
                optimizer.state[parameter]["momentum_buffer"] = buffer
        return self._totals.zero_()

    def step(self, images_BCHW: Tensor, labels_B: Tensor) -> None:
        """Trains one step.

        The first batch after a change of parameters is captured. A batch of another size, such as the last one, runs
        without the graph.
        """
        if self._replay is None:
            self._images_BCHW = images_BCHW.clone(memory_format=memory_format(self._state.model))
            self._labels_B = labels_B.clone()
            self._replay = self._capture(partial(self._step, self._images_BCHW, self._labels_B))
        if labels_B.shape != self._labels_B.shape:
            self._step(images_BCHW, labels_B)
            return
        self._images_BCHW.copy_(images_BCHW)
        self._labels_B.copy_(labels_B)
        self._replay()

    def _step(self, images_BCHW: Tensor, labels_B: Tensor) -> None:
        for parameter in self._state.model.parameters():
            parameter.grad = None
        bf16 = self._train.precision == "bf16"
        # autocast's cache would keep casts of the weights that were made before the weights change
        with torch.autocast(self._state.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            loss, logits_BC = self._method.loss(self._state, images_BCHW, labels_B, self._cross_entropy)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for name, weights in self._groups.items():
                descend(weights, self._momentum[name], self._rates[name], self._train.momentum)
            self._totals[0] += loss.double() * len(labels_B)
            self._totals[1] += (logits_BC.argmax(1) == labels_B).sum()

    def _capture(self, step: Callable[[], None]) -> Callable[[], object]:
        """Captures `step` and returns a function that replays it. The effects of the warm-up are undone."""
        model = self._state.model
        written = [*model.parameters(), *model.buffers(), *chain(*self._momentum.values()), self._totals]
        kept = [tensor.detach().clone() for tensor in written]
        if self._state.device.type == "cuda":
            replay = _graph_of(step)
        else:
            step()  # changes what a warm-up changes, so that tests on a CPU can check that it is undone
            replay = step
        with torch.no_grad():
            for tensor, before in zip(written, kept, strict=True):
                tensor.copy_(before)
        return replay


def _graph_of(step: Callable[[], None]) -> Callable[[], object]:
    """Captures `step` after a warm-up on a side stream, as torch.cuda.graph requires; returns its replay function."""
    stream = _warm_up_stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@cache
def _warm_up_stream(device: int) -> torch.cuda.Stream:
    """Returns the stream that all captures share, because cuBLAS keeps 65 MiB for every stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@torch.no_grad()
def descend(weights: list[Tensor], momentum: list[Tensor], rates_2: Tensor, mu: float) -> None:
    """Applies the update of torch.optim.SGD in place, with momentum `mu`.

    `rates_2` holds the learning rate and the weight decay, which may be negative.
    """
    lr, weight_decay = rates_2
    gradients = torch._foreach_mul(weights, weight_decay)
    torch._foreach_add_(gradients, [weight.grad for weight in weights if weight.grad is not None])
    torch._foreach_mul_(momentum, mu)
    torch._foreach_add_(momentum, gradients)
    torch._foreach_sub_(weights, torch._foreach_mul(momentum, lr))
