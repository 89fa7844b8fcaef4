"""Tests twins: settings under which two methods are identical must train the same bits."""

from typing import Any, Literal

import pytest
import torch

from tests.trainer.builders import EVERY_METHOD, bits, label, run, small_spec
from trainer.core import models
from trainer.core.init import initialise
from trainer.core.seeding import generator
from trainer.core.state import TrainState
from trainer.methods import METHODS, Method
from trainer.methods.base import Forgotten
from trainer.spec import TrainSpec

DECLARED = [pair for kind in METHODS.values() for pair in kind.twins()]


class Rewound(Method):
    """Starts every generation from the initial weights of generation 0, with fresh statistics."""

    name: Literal["test-rewound"] = "test-rewound"

    def forget(self, state: TrainState) -> Forgotten | None:
        state.model.load_state_dict(models.build(models.DigitsResNet(width=4), 10, state.seed).state_dict())
        return None


class Afresh(Method):
    """Starts every generation from new random weights, and learns from the labels alone."""

    name: Literal["test-afresh"] = "test-afresh"

    def forget(self, state: TrainState) -> Forgotten | None:
        initialise(state.model, "he_normal_fan_in", state.seed, state.generation)
        return None


class LateRedrawnByHand(Method):
    """Draws the late layers again as LLF does, with the formula of the initial law."""

    name: Literal["test-late"] = "test-late"

    def forget(self, state: TrainState) -> Forgotten | None:
        for name, weight in state.model.named_parameters():
            if name.split(".")[0] in ("layer3", "layer4", "fc") and weight.ndim > 1:
                std = (2 / weight[0].numel()) ** 0.5
                random = generator(state.seed, "forget", state.generation, name)
                weight.data.copy_(torch.empty(weight.shape).normal_(0, std, generator=random))
        return None


def under(method: Method, **train: Any) -> TrainSpec:
    """Returns a spec with `method`, which is inserted afterwards because a spec cannot name an unregistered method."""
    return small_spec({"name": "normal"}, **train).model_copy(update={"method": method})


@pytest.mark.parametrize(
    ("own", "other", "precision"),
    [
        *((own, other, "fp64") for own, other in DECLARED),
        ({"name": "seal", "ascent_epochs": 0}, {"name": "normal"}, "fp32"),
    ],
    ids=str,
)
def test_declared_twins_are_bit_equal(own: dict[str, Any], other: dict[str, Any], precision: str) -> None:
    (first, first_rows), (second, second_rows) = (
        run(small_spec(each, precision=precision, batch_size=20)) for each in (own, other)
    )
    assert bits(first) == bits(second)
    assert [row.metrics["train/loss"] for row in first_rows] == [row.metrics["train/loss"] for row in second_rows]


def test_every_method_that_can_be_neutral_declares_a_twin() -> None:
    assert {name for name, kind in METHODS.items() if not kind.twins()} == {"normal", "imp"}


@pytest.mark.parametrize(
    ("own", "twin"),
    [
        ({"name": "imp", "rate": 0.0}, Rewound()),
        ({"name": "imp", "rate": 0.0, "ranking": "global"}, Rewound()),
        ({"name": "born-again", "label_weight": 1.0}, Afresh()),
        ({"name": "self-distillation", "teacher_weight": 0.0}, Afresh()),
        ({"name": "tolerant-teacher", "patriarch_label_weight": 1.0, "label_weight": 1.0}, Afresh()),
        ({"name": "llf", "redraw_law": "same_as_init"}, LateRedrawnByHand()),
        ({"name": "ke", "split_rate": 1.0}, Method(name="test-base")),
        ({"name": "sa-gd", "most_ascent": 0.0}, Method(name="test-base")),
    ],
    ids=lambda each: label(each) if isinstance(each, dict) else each.name,
)
def test_a_method_with_neutral_settings_equals_its_plain_twin(own: dict[str, Any], twin: Method) -> None:
    assert bits(run(small_spec(own))[0]) == bits(run(under(twin))[0])


@pytest.mark.parametrize("method", EVERY_METHOD[1:], ids=label)
def test_no_other_setting_is_ordinary_training(method: dict[str, Any]) -> None:
    """Without this, the equality of twins would prove nothing."""
    normal, _ = run(small_spec({"name": "normal"}, generations=2, epochs=2))
    assert bits(run(small_spec(method, generations=2, epochs=2))[0]) != bits(normal)


@pytest.mark.parametrize("method", [{"name": "normal"}, {"name": "seal", "ascent_scale": 0.5}], ids=label)
def test_the_scope_of_a_constant_schedule_does_not_matter(method: dict[str, Any]) -> None:
    one, other = (small_spec(method, schedule={"shape": "constant", "scope": scope}) for scope in ("generation", "run"))
    assert bits(run(one)[0]) == bits(run(other)[0])


def test_without_resets_two_generations_of_a_run_schedule_differ_from_one_only_in_the_image_order() -> None:
    """Compares Normal over two generations of two epochs with Normal over one generation of four epochs."""
    schedule = {"scope": "run"}
    _, two = run(small_spec({"name": "normal"}, generations=2, epochs=2, schedule=schedule, reset_momentum_at=[]))
    _, one = run(small_spec({"name": "normal"}, generations=1, epochs=4, schedule=schedule, reset_momentum_at=[]))
    assert [row.metrics["train/loss"] for row in two[:2]] == [row.metrics["train/loss"] for row in one[:2]]
    assert [row.metrics["train/lr"] for row in two] == [row.metrics["train/lr"] for row in one]


def test_a_seal_without_a_switch_does_not_depend_on_the_reset_at_switches() -> None:
    """If the ascent lasts to the last epoch, there is no switch of phases."""
    seal = {"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 4}
    one, other = (small_spec(seal, reset_momentum_at=resets) for resets in (["generation"], ["generation", "switch"]))
    assert bits(run(one)[0]) == bits(run(other)[0])
