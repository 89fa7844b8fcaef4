"""Self-distillation: Pham et al., Revisiting Self-Distillation, 2022 (SEAL paper Table 10; protocols 4.10)."""

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from trainer.core.distillation import divergence, teacher_logits
from trainer.core.state import TrainState
from trainer.methods.base import CrossEntropy, StudentMethod


class SelfDistillation(StudentMethod):
    """Every generation >= 1 is a new network of the same architecture that imitates the one before it at a temperature.

    Loss: (1 - a) CE(labels) + a tau^2 KL(softmax(teacher / tau) || softmax(student / tau)). One round is two
    generations.
    """

    name: Literal["self-distillation"] = "self-distillation"
    teacher_weight: float = Field(
        0.5, ge=0, le=1, description="a: share of the teacher in the loss [no source fixes it: 0.5]"
    )
    temperature: float = Field(
        4.0, gt=0, le=1000, description="tau [no source fixes it: 4, as is usual in distillation]"
    )

    def loss(
        self, state: TrainState, images_BCHW: Tensor, labels_B: Tensor, cross_entropy: CrossEntropy
    ) -> tuple[Tensor, Tensor]:
        hard, logits_BC = super().loss(state, images_BCHW, labels_B, cross_entropy)
        if state.teacher is None or self.teacher_weight == 0:
            return hard, logits_BC
        soft = divergence(logits_BC, teacher_logits(state, images_BCHW), self.temperature)
        return (1 - self.teacher_weight) * hard + self.teacher_weight * soft, logits_BC

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        own = {"name": "self-distillation", "teacher_weight": 0.25, "temperature": 1.0}
        return [(own, {"name": "born-again", "label_weight": 0.75})]
