"""Shrink and perturb: Ash and Adams, On Warm-Starting Neural Network Training, NeurIPS 2020 (arXiv 1910.08475)."""

from typing import Any, Literal

import torch
from pydantic import Field

from trainer.core import masks
from trainer.core.init import redraw
from trainer.core.seeding import generator
from trainer.core.state import TrainState
from trainer.methods.base import Forgotten, Method


class ShrinkPerturb(Method):
    """At the start of every generation >= 1 each conv and linear weight w becomes shrink * w + noise * (a new draw).

    The draw is from the law of the initialisation. Biases, BatchNorm and its statistics are kept.
    """

    name: Literal["shrink-perturb"] = "shrink-perturb"
    shrink: float = Field(0.5, ge=0, le=1, description="share of the old weight that stays [our choice]")
    noise: float = Field(
        0.1, ge=0, le=1, description="multiplies the draw from the law of the initialisation [our choice]"
    )

    def forget(self, state: TrainState) -> Forgotten:
        weights = masks.weights(state.model)
        for name, weight in weights.items():
            fresh = torch.empty_like(weight)
            redraw(fresh, state.init_law, generator(state.seed, "forget", state.generation, name))
            weight.data.mul_(self.shrink).add_(fresh.data, alpha=self.noise)
        return Forgotten(redrawn=sum(weight.numel() for weight in weights.values()) if self.noise else 0)

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        everything = {"name": "llf", "layer_threshold": "conv1", "redraw_law": "same_as_init"}
        return [
            ({"name": "shrink-perturb", "shrink": 1.0, "noise": 0.0}, {"name": "normal"}),
            ({"name": "shrink-perturb", "shrink": 0.0, "noise": 1.0}, everything),
        ]
