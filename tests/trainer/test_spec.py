"""The recipes: what the paper and the released code fill in, and the rates that follow."""

import pytest

from tests.trainer.builders import small_spec
from trainer import spec
from trainer.methods import SEAL


def test_the_recipe_official_code_fills_what_was_not_given() -> None:
    one = spec.parse(b'{"data": {"name": "digits"}, "method": {"name": "seal"}, "train": {"recipe": "official-code"}}')
    assert (one.train.lr, one.train.schedule.warmup_epochs) == (0.1, 20)
    assert one.method.model_dump() == {
        "name": "seal",
        "layer_threshold": "layer3",
        "ascent_scale": 0.01,
        "ascent_fraction": 0.25,
        "ascent_epochs": 40,
        "ascent_weight_decay": "zero",
        "variant": "descent",
        "reverse_output_layer": True,
    }
    given = small_spec({"name": "seal", "ascent_weight_decay": "keep"}, recipe="official-code", epochs=60, lr=0.05)
    assert (given.train.lr, given.train.schedule.warmup_epochs) == (0.05, 20)
    assert isinstance(given.method, SEAL)
    assert (given.method.ascent_weight_decay, given.method.k(60)) == ("keep", 40)
    half = small_spec({"name": "seal", "ascent_fraction": 0.5}, recipe="official-code", epochs=60).method
    assert isinstance(half, SEAL)
    assert half.k(60) == 30


def test_the_recipe_paper_is_what_protocols_section_6_gives() -> None:
    one = spec.parse(b'{"data": {"name": "digits"}, "method": {"name": "seal"}}')
    assert one.train.model_dump() == {
        "recipe": "paper",
        "generations": 10,
        "epochs": 160,
        "batch_size": 32,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "label_smoothing": 0.1,
        "schedule": {"shape": "cosine", "warmup_epochs": 0, "scope": "generation", "milestones": (), "decay": 0.1},
        "precision": "fp32",
        "reset_momentum_at": ("generation", "switch"),
        "batch_norm": "synced",
        "evaluate_every": 1,
    }
    assert isinstance(one.method, SEAL)
    assert (one.method.ascent_scale, one.method.k(160), one.method.ascent_weight_decay) == (0.01, 40, "flip")


def test_the_rates_are_those_of_the_executed_trace_of_the_released_code() -> None:
    """protocols 4.3: generation 1 on ResNet-18, by epoch and group."""
    one = spec.parse(
        b'{"data": {"name": "digits"}, "model": {"name": "resnet18"}, "method": {"name": "seal"},'
        b' "train": {"recipe": "official-code"}}'
    )
    forgetting, relearning = one.method.phases(1, 160)
    rates = [one.train.lr * one.train.schedule.factor(1, epoch, 160, 10) for epoch in (0, 39, 40)]
    assert rates == pytest.approx([0.005, 0.0955, 0.0950484], abs=3e-5)
    ascent = forgetting.scales["early"]
    assert [ascent.lr * rate for rate in rates[:2]] == pytest.approx([-5e-5, -9.55e-4], abs=3e-7)
    assert (ascent.weight_decay, list(forgetting.scales), dict(relearning.scales)) == (0.0, ["early"], {})
    assert (forgetting.epochs, relearning.epochs) == (range(40), range(40, 160))
    assert one.method.phases(0, 160)[0].scales == {}
