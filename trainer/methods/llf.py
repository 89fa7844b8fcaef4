"""Later-layer forgetting (LLF), to which SEAL is compared in section 4.1 of its paper.

Zhou et al., Fortuitous Forgetting in Connectionist Networks, ICLR 2022.
"""

from typing import Any, Literal

from pydantic import Field

from trainer.core.reinit import reinit_late
from trainer.core.state import TrainState
from trainer.methods.base import Forgotten, LayeredMethod


class LLF(LayeredMethod):
    """Re-draws the conv and linear weights from the threshold layer on at the start of every generation >= 1.

    BatchNorm (affine and statistics), biases and all earlier layers are kept by default, as in the released code.
    """

    name: Literal["llf"] = "llf"
    redraw_law: Literal["uniform_fan_in", "same_as_init"] = Field(
        "uniform_fan_in",
        description="U(+-1/sqrt(fan_in)) as the released code, or the law of the initialisation; "
        "the paper does not say",
    )
    redraw_bias: bool = Field(
        False, description="also re-draw late biases from U(+-1/sqrt(fan_in)); the released code keeps them"
    )
    redraw_bn: bool = Field(
        False, description="also set late BN gamma to 1 and beta to 0; the released code keeps them"
    )
    reset_statistics: bool = Field(
        False, description="also reset late BN running statistics; the released code keeps them"
    )
    redraw_shortcuts: bool | None = Field(
        None,
        description="whether the convs on shortcuts of a pre-activation network are re-drawn too; not given: unless "
        "the network has the released blocks, whose code leaves them (downsample convs are always re-drawn)",
    )

    def forget(self, state: TrainState) -> Forgotten:
        law = state.init_law if self.redraw_law == "same_as_init" else "uniform_fan_in"
        redrawn = reinit_late(
            state,
            self.layer_threshold,
            law,
            bias=self.redraw_bias,
            bn=self.redraw_bn,
            statistics=self.reset_statistics,
            shortcuts=self.redraw_shortcuts,
        )
        return Forgotten(redrawn)

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "llf", "layer_threshold": "fc.bias"}, {"name": "normal"})]
