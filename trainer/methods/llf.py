"""Later-layer forgetting: Zhou et al., Fortuitous Forgetting in Connectionist Networks, ICLR 2022 (SEAL paper section 4.1)."""

import math
from typing import Literal

from pydantic import Field
from torch import nn

from trainer.core.models import fan_in, split_at
from trainer.core.seeding import generator
from trainer.core.state import TrainState
from trainer.methods.base import Method


class LLF(Method):
    """Re-draws the conv and linear weights from the threshold layer on at the start of every generation >= 1.

    BatchNorm (affine and statistics), biases and all earlier layers are kept, as in the released code.
    """

    name: Literal["llf"] = "llf"
    layer_threshold: str = Field("layer3", min_length=1, description="first forgotten layer (the third ResNet stage)")
    redraw_law: Literal["uniform_fan_in", "same_as_init"] = Field(
        "uniform_fan_in",
        description="U(+-1/sqrt(fan_in)) as the released code, or He normal as the initialisation; the paper does not say",
    )

    def forget(self, state: TrainState) -> int:
        parameters = dict(state.model.named_parameters())
        redrawn = 0
        for name in split_at(list(parameters), self.layer_threshold)[1]:
            weight = parameters[name]
            if weight.ndim < 2:  # a bias or BatchNorm's affine
                continue
            random = generator(state.seed, "forget", state.generation, name)
            fresh = weight.detach().cpu().clone()
            if self.redraw_law == "uniform_fan_in":
                bound = 1 / math.sqrt(fan_in(weight))
                nn.init.uniform_(fresh, -bound, bound, generator=random)
            else:
                nn.init.kaiming_normal_(fresh, generator=random)
            weight.data.copy_(fresh)
            redrawn += weight.numel()
        return redrawn

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        try:
            split_at(parameter_names, self.layer_threshold)
        except ValueError as error:
            return [("layer_threshold", str(error))]
        return []
