"""Iterative magnitude pruning: Frankle and Carbin, The Lottery Ticket Hypothesis, ICLR 2019 (protocols 4.6)."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.core import masks
from trainer.core.layers import output_layer
from trainer.core.reinit import weights_at_start
from trainer.core.state import TrainState
from trainer.methods.base import Forgotten, Method, NetworkBytes, Step

_ALIVE, _REWIND = "imp/alive/", "imp/rewind/"


class IterativeMagnitudePruning(Method):
    """At the start of every generation >= 1 the smallest weights still alive go to zero for good; the rest is rewound.

    Prunable are conv and linear weights. Rewinding restores all parameters and resets BatchNorm's running statistics.
    """

    name: Literal["imp"] = "imp"
    rate: float = Field(
        0.2, ge=0, lt=1, description="share of the weights alive that goes each generation [unverified]"
    )
    output_rate: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="the same for the output layer; half of rate where it is not given [unverified]",
    )
    ranking: Literal["tensor", "global"] = Field(
        "tensor",
        description="weights are ranked within their tensor (our choice), or over all tensors but the output layer's",
    )
    rewind_epoch: int = Field(
        0, ge=0, description="survivors return to their values after so many epochs of generation 0"
    )

    def forget(self, state: TrainState) -> Forgotten:
        weights = masks.weights(state.model)
        alive = {
            name: state.memory.get(_ALIVE + name, torch.ones_like(weight, dtype=torch.bool))
            for name, weight in weights.items()
        }
        size = {name: weight.detach().abs() for name, weight in weights.items()}
        output = set(output_layer(list(dict(state.model.named_parameters())))) & set(weights)
        inner = [name for name in weights if name not in output]
        for together in [inner] if self.ranking == "global" else [[name] for name in inner]:
            alive |= masks.lowest({name: size[name] for name in together}, alive, self.rate)
        output_rate = self.rate / 2 if self.output_rate is None else self.output_rate
        alive |= masks.lowest({name: size[name] for name in output}, alive, output_rate)
        state.memory |= {_ALIVE + name: mask for name, mask in alive.items()}
        self._rewind(state)
        return Forgotten(pruned=sum(int((~mask).sum()) for mask in alive.values()))

    def _rewind(self, state: TrainState) -> None:
        start = weights_at_start(state) if self.rewind_epoch == 0 else self._remembered(state)
        for name, parameter in state.model.named_parameters():
            parameter.data.copy_(start[name])
        for module in state.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
        self.after_step(state)

    def _remembered(self, state: TrainState) -> dict[str, Tensor]:
        prefix = f"{_REWIND}{self.rewind_epoch}/"
        early = {name.removeprefix(prefix): tensor for name, tensor in state.memory.items() if name.startswith(prefix)}
        if not early:
            raise ValueError(
                f"imp cannot rewind to epoch {self.rewind_epoch}: generation 0 was trained under another method"
            )
        return early

    def before_step(self, state: TrainState, step: Step) -> None:
        if self.rewind_epoch and (state.generation, state.epoch, step.index) == (0, self.rewind_epoch, 0):
            state.memory |= {
                f"{_REWIND}{self.rewind_epoch}/{name}": p.detach().clone() for name, p in state.model.named_parameters()
            }

    def after_step(self, state: TrainState) -> None:
        """Keeps pruned weights at zero."""
        for name, parameter in state.model.named_parameters():
            if (alive := state.memory.get(_ALIVE + name)) is not None:
                parameter.data.mul_(alive)

    def needs_own_start(self) -> bool:
        return self.rewind_epoch > 0

    def stored_bytes(self, generation: int, network: NetworkBytes) -> int:
        """The masks of what is alive, and the weights that survivors are rewound to."""
        return (network.mask if generation > 0 else 0) + (network.parameters if self.rewind_epoch else 0)

    def identity(self, generation: int) -> dict[str, Any] | None:
        if generation == 0 and self.rewind_epoch:  # generation 0 stores what later ones rewind to
            return {"name": self.name, "rewind_epoch": self.rewind_epoch}
        return super().identity(generation)

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        if epochs is not None and self.rewind_epoch >= epochs:
            return [("rewind_epoch", f"generation 0 has {epochs} epochs, so it never starts epoch {self.rewind_epoch}")]
        return []
