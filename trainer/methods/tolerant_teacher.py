"""Tolerant teacher (SEAL Table 9; protocols 4.9).

Yang et al., Training Deep Neural Networks in Generations, AAAI 2019.
"""

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from trainer.core.distillation import divergence, teacher_logits
from trainer.core.state import TrainState
from trainer.methods.base import CrossEntropy, StudentMethod


class TolerantTeacher(StudentMethod):
    """Generation 0 is trained to be less confident, and every later generation is a new network that learns from it.

    The loss of generation 0, the patriarch, is w CE + (1 - w) (f_1 - mean(f_2 ... f_K)), where f is its sorted softmax.
    Later generations have the loss of born-again networks, v CE + (1 - v) KL(teacher || student), where the teacher is
    the generation before.
    """

    name: Literal["tolerant-teacher"] = "tolerant-teacher"
    patriarch_label_weight: float = Field(0.6, ge=0, le=1, description="w in generation 0 [unverified]")
    similar_classes: int = Field(
        5, ge=2, le=1000, description="K: classes that are alike, the first included [unverified]"
    )
    label_weight: float = Field(0.5, ge=0, le=1, description="v of the students [no source fixes it: 0.5]")

    def loss(
        self, state: TrainState, images_BCHW: Tensor, labels_B: Tensor, cross_entropy: CrossEntropy
    ) -> tuple[Tensor, Tensor]:
        hard, logits_BC = super().loss(state, images_BCHW, labels_B, cross_entropy)
        if state.teacher is not None:
            if self.label_weight == 1:
                return hard, logits_BC
            soft = divergence(logits_BC, teacher_logits(state, images_BCHW))
            return self.label_weight * hard + (1 - self.label_weight) * soft, logits_BC
        if self.patriarch_label_weight == 1:
            return hard, logits_BC
        scores_BK = logits_BC.softmax(1).topk(min(self.similar_classes, logits_BC.shape[1]), 1).values
        gap = (scores_BK[:, 0] - scores_BK[:, 1:].mean(1)).mean()
        return self.patriarch_label_weight * hard + (1 - self.patriarch_label_weight) * gap, logits_BC

    def identity(self, generation: int) -> dict[str, Any] | None:
        if generation > 0:
            return super().identity(generation)
        own = self.model_dump(mode="json", exclude_defaults=True, exclude={"label_weight"})
        return None if self.patriarch_label_weight == 1 else own | {"name": self.name}

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "tolerant-teacher", "patriarch_label_weight": 1.0}, {"name": "born-again"})]
