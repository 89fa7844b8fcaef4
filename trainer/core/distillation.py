"""Knowledge distillation: a student network imitates a teacher's outputs (Hinton, Vinyals and Dean 2015)."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.core.state import TrainState


@torch.no_grad()
def teacher_logits(state: TrainState, images_BCHW: Tensor) -> Tensor:
    """Returns the teacher's logits `[B, C]` for the augmented images that the student sees."""
    assert state.teacher is not None
    return torch.as_tensor(state.teacher(images_BCHW))


def divergence(student_BC: Tensor, teacher_BC: Tensor, temperature: float = 1.0) -> Tensor:
    """Returns tau^2 KL(softmax(teacher / tau) || softmax(student / tau)), averaged over the batch.

    Both arguments are logits `[B, C]`; tau is `temperature`.
    """
    student, teacher = ((logits / temperature).log_softmax(1) for logits in (student_BC, teacher_BC))
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
