"""Born-again networks: Furlanello et al., ICML 2018, in the form of Yang et al., AAAI 2019 (protocols 4.8)."""

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from trainer.core.distillation import divergence, teacher_logits
from trainer.core.state import TrainState
from trainer.methods.base import CrossEntropy, StudentMethod


class BornAgain(StudentMethod):
    """Every generation >= 1 is a new network that learns from the labels and from the generation before it.

    Loss: w CE(labels) + (1 - w) KL(teacher || student), at temperature 1.
    """

    name: Literal["born-again"] = "born-again"
    label_weight: float = Field(
        0.5, ge=0, le=1, description="w: share of the labels in the loss [no source fixes it: 0.5]"
    )

    def loss(
        self, state: TrainState, images_BCHW: Tensor, labels_B: Tensor, cross_entropy: CrossEntropy
    ) -> tuple[Tensor, Tensor]:
        hard, logits_BC = super().loss(state, images_BCHW, labels_B, cross_entropy)
        if state.teacher is None or self.label_weight == 1:
            return hard, logits_BC
        soft = divergence(logits_BC, teacher_logits(state, images_BCHW))
        return self.label_weight * hard + (1 - self.label_weight) * soft, logits_BC

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "born-again", "label_weight": 1.0}, {"name": "self-distillation", "teacher_weight": 0.0})]
