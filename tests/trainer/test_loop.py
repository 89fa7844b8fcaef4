"""A loss that is not finite ends a run."""

import pytest

from tests.trainer.builders import begin, run, small_spec
from trainer import loop


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    one = small_spec({"name": "normal"}, lr=100.0, generations=1, epochs=40)
    state, dataset = begin(one)
    state.model.get_parameter("fc.bias").data.fill_(float("nan"))
    with pytest.raises(loop.Diverged, match="epoch 0 of generation 0"):
        next(loop.train(one, state, dataset))


def test_an_overflow_in_an_ascent_names_the_phase() -> None:
    one = small_spec(
        {"name": "seal", "ascent_scale": 1000.0, "ascent_epochs": 4}, lr=100.0, generations=2, precision="fp32"
    )
    with pytest.raises(loop.Diverged, match=r"generation 1 \(forgetting\): lower lr or the ascent's scale"):
        run(one)
