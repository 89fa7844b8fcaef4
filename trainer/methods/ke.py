"""Knowledge Evolution: Taha, Shrivastava and Davis, CVPR 2021 (protocols 4.5)."""

from typing import Any, Literal

from pydantic import Field

from trainer.core import masks
from trainer.core.init import redraw
from trainer.core.seeding import generator
from trainer.core.state import TrainState
from trainer.methods.base import Forgotten, Method


class KnowledgeEvolution(Method):
    """At the start of every generation >= 1 the conv and linear weights outside the fit hypothesis are re-drawn.

    The mask never gates training: all weights are updated. BatchNorm, its statistics and biases are kept.
    """

    name: Literal["ke"] = "ke"
    split: Literal["kels", "wels"] = Field(
        "kels", description="the kept weights: the first channels of every layer (a slim network), or weights at random"
    )
    split_rate: float = Field(
        0.5, gt=0, le=1, description="share kept, of channels (kels) or weights (wels); released code: 0.5"
    )
    redraw_mask: bool = Field(False, description="wels: another random mask every generation (released code: off)")

    def mask(self, state: TrainState) -> masks.ForgettingMask:
        """Returns the fit hypothesis at `state.generation`. It follows from the seed and is not stored."""
        if self.split == "kels":
            return masks.kels(state.model, self.split_rate)
        return masks.wels(state.model, self.split_rate, state.seed, *([state.generation] if self.redraw_mask else []))

    def forget(self, state: TrainState) -> Forgotten:
        changed = 0
        kept = self.mask(state)
        for name, weight in masks.weights(state.model).items():
            old = weight.detach().clone()
            redraw(weight, "uniform_fan_in", generator(state.seed, "forget", state.generation, name))
            weight.data[kept[name]] = old[kept[name]]
            changed += int((~kept[name]).sum())
        return Forgotten(changed)

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        if self.redraw_mask and self.split == "kels":
            return [
                ("redraw_mask", "the mask of kels is fixed by the channels: use split wels, or leave redraw_mask out")
            ]
        return []

    def slim_share(self) -> float | None:
        return self.split_rate if self.split == "kels" else None

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "ke", "split": split, "split_rate": 1.0}, {"name": "normal"}) for split in ("kels", "wels")]
