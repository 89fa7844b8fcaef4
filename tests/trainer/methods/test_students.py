"""Tests the students and teachers of born-again networks, tolerant teacher and self-distillation."""

import pytest
import torch
from torch import Tensor

from tests.trainer.builders import begin, run, small_spec
from trainer import loop


@pytest.mark.parametrize("name", ["born-again", "tolerant-teacher", "self-distillation"])
def test_the_teacher_of_a_student_is_the_previous_generation_in_eval_mode(name: str) -> None:
    one = small_spec({"name": name}, generations=3, epochs=2)
    state, batches = begin(one)
    trained: dict[str, Tensor] = {}
    for row in loop.train(one, state, batches):
        if row.epoch == 1:
            assert state.teacher is None
            trained = {key: tensor.clone() for key, tensor in state.model.state_dict().items()}
        elif row.generation > 0:
            assert state.teacher is not None
            assert not state.teacher.training
            assert not any(parameter.requires_grad for parameter in state.teacher.parameters())
            assert all(torch.equal(tensor, trained[key]) for key, tensor in state.teacher.state_dict().items())


def test_students_start_from_the_initial_law_with_new_draws() -> None:
    state, _ = run(small_spec({"name": "normal"}, generations=1))
    first, _ = begin(small_spec({"name": "normal"}))
    drawn = [first.model.get_parameter("layer4.0.conv2.weight").clone()]
    for state.generation in (1, 2):
        small_spec({"name": "born-again"}).method.forget(state)
        weight = state.model.get_parameter("layer4.0.conv2.weight")
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.03)
        assert (state.model.get_parameter("bn1.weight") == 1).all()
        assert (state.model.get_buffer("bn1.running_mean") == 0).all()
        drawn.append(weight.clone())
    assert not any(
        torch.equal(one, other) for one, other in ((drawn[0], drawn[1]), (drawn[1], drawn[2]), (drawn[0], drawn[2]))
    )
