"""What every method promises: it trains, it repeats itself, it resumes bit for bit, and at its zero it is Normal."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.small import begin, bits, run, small_spec
from trainer import loop
from trainer.core import checkpoint, models
from trainer.core.fingerprint import fingerprint
from trainer.core.state import EpochRow
from trainer.methods import LLF, SEAL, Phase
from trainer.monitors import note_forgetting

METHODS: list[dict[str, Any]] = [
    {"name": "normal"},
    {"name": "llf"},
    {"name": "seal", "ascent_scale": 0.5},
]
NAMES = [name for name, _ in models.skeleton(models.DigitsResNet(), 10).named_parameters()]


@pytest.mark.parametrize("method", METHODS)
def test_training_lowers_the_loss(method: dict[str, Any]) -> None:
    _, rows = run(small_spec(method, epochs=12))
    for generation in range(3):
        losses = [row.metrics["train/loss"] for row in rows if row.generation == generation]
        assert losses[-1] < losses[0] or losses[-1] < 0.8


@pytest.mark.parametrize("method", METHODS)
def test_the_same_spec_gives_the_same_bits(method: dict[str, Any]) -> None:
    (first, first_rows), (second, second_rows) = run(small_spec(method)), run(small_spec(method))
    assert bits(first) == bits(second)
    assert first_rows == second_rows


@pytest.mark.parametrize("method", METHODS)
def test_stopping_after_any_epoch_and_resuming_gives_the_same_bits(method: dict[str, Any], tmp_path: Path) -> None:
    one = small_spec(method, generations=2)
    whole, rows = run(one)
    for stop in (1, 3, 4, 5, 7):
        state, dataset = begin(one)
        epochs = loop.train(one, state, dataset)
        before = [next(epochs) for _ in range(stop)]
        checkpoint.save(tmp_path / f"{stop}", state, "key", fingerprint(torch.device("cpu")))
        resumed, dataset = begin(one)
        checkpoint.load(tmp_path / f"{stop}", resumed)
        after = list(loop.train(one, resumed, dataset))
        assert before + after == rows
        assert bits(resumed) == bits(whole)


@pytest.mark.parametrize("method", METHODS)
def test_generation_0_is_the_same_for_all(method: dict[str, Any]) -> None:
    normal, _ = run(small_spec({"name": "normal"}, generations=1))
    other, _ = run(small_spec(method, generations=1))
    assert bits(other) == bits(normal)


def test_seal_without_ascent_is_normal() -> None:
    assert bits(run(small_spec({"name": "seal", "ascent_epochs": 0}))[0]) == bits(run(small_spec({"name": "normal"}))[0])


def test_llf_forgetting_only_a_weightless_layer_is_normal() -> None:
    """A threshold at the last bias leaves nothing that LLF would re-draw."""
    llf, _ = run(small_spec({"name": "llf", "layer_threshold": "fc.bias"}))
    assert bits(llf) == bits(run(small_spec({"name": "normal"}))[0])


def test_seal_ascends_early_layers_in_the_first_quarter_of_later_generations() -> None:
    seal = SEAL(ascent_scale=0.01)
    assert seal.phases(0, 160) == [Phase("learning", range(160))]
    forgetting, relearning = seal.phases(1, 160)
    assert (forgetting.epochs, relearning.epochs) == (range(40), range(40, 160))
    assert (forgetting.scales["early"].lr, forgetting.scales["early"].weight_decay) == (-0.01, -1.0)
    assert relearning.scales == {}
    assert [seal.k(epochs) for epochs in (70, 90, 160)] == [18, 23, 40]


def test_an_ascent_step_without_gradient_shrinks_weights_as_the_paper_says() -> None:
    """protocols 10, pitfall 3: net decay pulls to zero with flip, does nothing with zero, inflates with keep."""
    norms = {}
    for mode in ("flip", "zero", "keep"):
        weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        scale = SEAL(ascent_weight_decay=mode).phases(1, 4)[0].scales["early"]
        optimizer = torch.optim.SGD([weight], lr=0.0, momentum=0.9)
        optimizer.param_groups[0] |= {"lr": 0.5 * scale.lr, "weight_decay": 0.1 * scale.weight_decay}
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        norms[mode] = weight.norm().item() / 3**0.5
    assert norms["flip"] < 1
    assert norms["zero"] == 1
    assert norms["keep"] > 1


def test_llf_redraws_late_weights_only_and_from_the_narrow_law() -> None:
    state, _ = begin(small_spec({"name": "llf"}))
    state.generation = 1
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    LLF().forget(state)
    changed = {name for name, tensor in state.model.state_dict().items() if not torch.equal(tensor, before[name])}
    late_weights = {name for name in before if name.startswith(("layer3", "layer4", "fc")) and before[name].ndim > 1}
    assert changed == late_weights
    weight = state.model.get_parameter("layer4.0.conv2.weight")
    assert weight.abs().max() <= 1 / weight[0].numel() ** 0.5
    assert weight.std().item() == pytest.approx(1 / (3 * weight[0].numel()) ** 0.5, rel=0.03)


def test_llf_draws_afresh_each_generation() -> None:
    state, _ = begin(small_spec({"name": "llf"}))
    drawn = []
    for state.generation in (1, 2):
        LLF(redraw_law="same_as_init").forget(state)
        drawn.append(state.model.get_parameter("fc.weight").clone())
    assert not torch.equal(drawn[0], drawn[1])
    conv = state.model.get_parameter("layer4.0.conv2.weight")
    assert conv.std().item() == pytest.approx((2 / conv[0].numel()) ** 0.5, rel=0.03)


def test_contradictions_name_the_remedy() -> None:
    assert SEAL(ascent_epochs=30).problems(24, NAMES) == [
        ("ascent_epochs", "30 ascent epochs do not fit into a generation of 24: use at most 24")
    ]
    ((field, message),) = LLF(layer_threshold="layer9").problems(24, NAMES)
    assert field == "layer_threshold"
    assert "it has conv1, bn1, layer1, layer2, layer3, layer4, fc" in message
    assert SEAL(layer_threshold="conv1").problems(24, NAMES)[0][0] == "layer_threshold"


@pytest.mark.parametrize(("after", "warned"), [(0.62, True), (0.56, True), (0.54, False), (0.1, False), (0.7, True)])
def test_less_than_a_tenth_of_the_accuracy_above_chance_lost_is_no_forgetting(after: float, warned: bool) -> None:
    state, _ = begin(small_spec({"name": "seal"}))
    state.monitors = {"train_accuracy_at_start": 0.6, "ascent_dose": 0.03}
    row = EpochRow(3, 5, "forgetting", {})
    note_forgetting(row, state, after, chance=0.1)
    assert row.metrics["forgetting/forgotten_share"] == pytest.approx((0.6 - after) / 0.5)
    assert (row.metrics["forgetting/train_accuracy_before"], row.metrics["forgetting/ascent_dose"]) == (0.6, 0.03)
    sentence = f"no forgetting happened in generation 3: train accuracy 60.0% -> {after:.1%} at an ascent dose of 0.03; "
    assert row.warnings == ([sentence + "raise ascent_scale or ascent_epochs"] if warned else [])


def test_forgetting_is_measured_at_the_end_of_every_ascent() -> None:
    _, rows = run(small_spec({"name": "seal", "ascent_scale": 0.5}, epochs=8))
    measured = {(row.generation, row.epoch, row.phase) for row in rows if "forgetting/train_accuracy_after" in row.metrics}
    assert measured == {(1, 1, "forgetting"), (2, 1, "forgetting")}
    at_end = {row.generation: row.metrics["train/accuracy_eval"] for row in rows if row.epoch == 7}
    before = {
        row.generation: row.metrics["forgetting/train_accuracy_before"] for row in rows if row.epoch == 1 and row.generation
    }
    assert before == {1: at_end[0], 2: at_end[1]}


def test_the_ascent_dose_is_the_sum_of_scaled_rates_over_steps() -> None:
    one = small_spec({"name": "seal", "ascent_scale": 0.5}, epochs=8)
    _, rows = run(one)
    row = next(row for row in rows if row.generation == 2 and row.epoch == 1)
    rates = [0.05 * one.train.schedule.factor(2, epoch, 8, 3) for epoch in (0, 1)]
    assert row.metrics["forgetting/ascent_dose"] == pytest.approx(sum(rates) * 3 * 0.5, rel=1e-12)


def test_llf_reports_chance_after_forgetting() -> None:
    _, rows = run(small_spec({"name": "llf"}, epochs=24, batch_size=8, generations=2))
    row = next(row for row in rows if row.generation == 1)
    assert row.metrics["forgetting/scalars_changed"] == 18_240
    assert row.metrics["forgetting/train_accuracy_before"] > 0.5
    assert row.metrics["forgetting/train_accuracy_after"] < 0.3
    assert row.warnings == []


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    one = small_spec({"name": "normal"}, lr=100.0, generations=1, epochs=40)
    state, dataset = begin(one)
    state.model.get_parameter("fc.bias").data.fill_(float("nan"))
    with pytest.raises(loop.Diverged, match="epoch 0 of generation 0"):
        next(loop.train(one, state, dataset))
