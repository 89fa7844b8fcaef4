"""SEAL, simulated annealing in early layers: Sarfi et al., CVPR 2023, section 3 and equation 3; ablations of Table
7."""

import math
from typing import Any, Literal

from pydantic import Field

from trainer.core.layers import output_layer, split_at
from trainer.core.reinit import reinit_late
from trainer.core.state import TrainState
from trainer.methods.base import Forgotten, LayeredMethod, Phase, Scale

_WEIGHT_DECAY = {"flip": -1.0, "zero": 0.0, "keep": 1.0}


class SEAL(LayeredMethod):
    """In every generation >= 1 the early layers first ascend the loss for k epochs while the late ones keep descending.

    The ascent step is `ascent_scale` times the *scheduled* learning rate. Then all layers descend; the schedule
    continues.
    """

    name: Literal["seal"] = "seal"
    ascent_scale: float = Field(
        0.01, gt=0, le=1000, description="S: multiplies the scheduled learning rate, as -S [paper 4.1]"
    )
    ascent_fraction: float = Field(
        0.25, ge=0, le=1, description="k = ceil(ascent_fraction * epochs) [paper 4.1: E/4; rounding is ours]"
    )
    ascent_epochs: int | None = Field(None, ge=0, description="k in epochs; instead of ascent_fraction")
    ascent_weight_decay: Literal["flip", "zero", "keep"] = Field(
        "flip",
        description="flip still pulls ascending weights to zero (paper), zero leaves them (released code), "
        "keep inflates them",
    )
    variant: Literal["descent", "freeze", "reinit", "reverse"] = Field(
        "descent",
        description="of the late layers while the early ones ascend (Table 7): they descend (SEAL itself), "
        "stay frozen, or are first re-drawn as LLF does; reverse lets the late ascend and the early descend",
    )
    reverse_output_layer: bool = Field(
        True, description="in reverse, whether the output layer ascends too (released code: yes)"
    )

    @classmethod
    def as_released(cls, given: dict[str, Any]) -> dict[str, Any]:
        k = {} if "ascent_fraction" in given else {"ascent_epochs": 40}
        return {"ascent_weight_decay": "zero", **k, **given}

    def k(self, epochs: int) -> int:
        """Returns the number of ascent epochs in a generation of `epochs` epochs."""
        return math.ceil(round(self.ascent_fraction * epochs, 9)) if self.ascent_epochs is None else self.ascent_epochs

    def forget(self, state: TrainState) -> Forgotten | None:
        return (
            Forgotten(reinit_late(state, self.layer_threshold, "uniform_fan_in")) if self.variant == "reinit" else None
        )

    def groups(self, parameter_names: list[str]) -> dict[str, list[str]]:
        early, late = split_at(parameter_names, self.layer_threshold)
        output = [] if self.reverse_output_layer or self.variant != "reverse" else output_layer(parameter_names)
        inner = [name for name in late if name not in output]
        return {"early": early, "late": inner} | ({"output": output} if output else {})

    def phases(self, generation: int, epochs: int) -> list[Phase]:
        k = self.k(epochs)
        if generation == 0 or k == 0:
            return super().phases(generation, epochs)
        ascent = Scale(lr=-self.ascent_scale, weight_decay=_WEIGHT_DECAY[self.ascent_weight_decay])
        scales = {"late": ascent} if self.variant == "reverse" else {"early": ascent}
        if self.variant == "freeze":
            scales["late"] = Scale(0, 0)
        forgetting = Phase("forgetting", range(k), scales, forgets=True)
        return [forgetting, Phase("relearning", range(k, epochs))] if k < epochs else [forgetting]

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        found = super().problems(epochs, parameter_names)
        if epochs is not None and self.k(epochs) > epochs:
            message = (
                f"{self.ascent_epochs} ascent epochs do not fit into a generation of {epochs}: use at most {epochs}"
            )
            found.append(("ascent_epochs", message))
        if not found and not split_at(parameter_names, self.layer_threshold)[0]:
            message = f"no layer comes before {self.layer_threshold!r}, so nothing would ascend"
            found.append(("layer_threshold", message))
        return found

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        still = {"name": "seal", "ascent_epochs": 0}
        return [
            (still, {"name": "normal"}),
            (still | {"variant": "freeze"}, {"name": "normal"}),
            (still | {"variant": "reverse"}, {"name": "normal"}),
            (still | {"variant": "reinit"}, {"name": "llf"}),
        ]
