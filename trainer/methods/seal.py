"""SEAL, simulated annealing in early layers: Sarfi et al., CVPR 2023, section 3 and equation 3."""

import math
from typing import Any, Literal

from pydantic import Field

from trainer.core.models import split_at
from trainer.methods.base import Method, Phase, Scale

_WEIGHT_DECAY = {"flip": -1.0, "zero": 0.0, "keep": 1.0}


class SEAL(Method):
    """In every generation >= 1 the early layers first ascend the loss for k epochs while the later ones keep descending.

    The ascent step is `ascent_scale` times the *scheduled* learning rate. Then all layers descend; the schedule continues.
    """

    name: Literal["seal"] = "seal"
    layer_threshold: str = Field("layer3", min_length=1, description="the layers before it ascend (stem to stage 2)")
    ascent_scale: float = Field(0.01, gt=0, le=1000, description="S: multiplies the scheduled learning rate, as -S")
    ascent_fraction: float = Field(0.25, ge=0, le=1, description="k = ceil(ascent_fraction * epochs)")
    ascent_epochs: int | None = Field(None, ge=0, description="k in epochs; instead of ascent_fraction")
    ascent_weight_decay: Literal["flip", "zero", "keep"] = Field(
        "flip",
        description="flip still pulls ascending weights to zero (paper), zero leaves them (released code), keep inflates them",
    )

    @classmethod
    def as_released(cls, given: dict[str, Any]) -> dict[str, Any]:
        k = {} if "ascent_fraction" in given else {"ascent_epochs": 40}
        return {"ascent_weight_decay": "zero", **k, **given}

    def k(self, epochs: int) -> int:
        """Ascent epochs of a generation of `epochs`."""
        return math.ceil(self.ascent_fraction * epochs) if self.ascent_epochs is None else self.ascent_epochs

    def groups(self, parameter_names: list[str]) -> dict[str, list[str]]:
        early, late = split_at(parameter_names, self.layer_threshold)
        return {"early": early, "late": late}

    def phases(self, generation: int, epochs: int) -> list[Phase]:
        k = self.k(epochs)
        if generation == 0 or k == 0:
            return super().phases(generation, epochs)
        ascent = Scale(lr=-self.ascent_scale, weight_decay=_WEIGHT_DECAY[self.ascent_weight_decay])
        forgetting = Phase("forgetting", range(k), {"early": ascent}, forgets=True)
        return [forgetting, Phase("relearning", range(k, epochs))] if k < epochs else [forgetting]

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        found = []
        if epochs is not None and self.k(epochs) > epochs:
            message = f"{self.ascent_epochs} ascent epochs do not fit into a generation of {epochs}: use at most {epochs}"
            found.append(("ascent_epochs", message))
        try:
            early, _ = split_at(parameter_names, self.layer_threshold)
            if not early:
                found.append(("layer_threshold", f"no layer comes before {self.layer_threshold!r}, so nothing would ascend"))
        except ValueError as error:
            found.append(("layer_threshold", str(error)))
        return found
