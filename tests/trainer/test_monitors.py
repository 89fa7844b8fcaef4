"""What is measured beside training: forgetting, ascent dose, norms, and shares of re-drawn and pruned weights."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.builders import begin, every_method, label, run, small_spec
from trainer import loop
from trainer.batches import DataBatches, SplitName
from trainer.core.data import Dataset
from trainer.core.state import EpochRow
from trainer.monitors import note_forgetting

LATE = ("layer3", "layer4", "fc")


@pytest.mark.parametrize(("after", "warned"), [(0.62, True), (0.56, True), (0.54, False), (0.1, False), (0.7, True)])
def test_less_than_a_tenth_of_the_accuracy_above_chance_lost_is_no_forgetting(after: float, warned: bool) -> None:
    state, _ = begin(small_spec({"name": "seal"}))
    state.monitors = {"train_accuracy_at_start": 0.6, "ascent_dose": 0.03}
    row = EpochRow(3, 5, "forgetting", {})
    note_forgetting(row, state, after, chance=0.1)
    assert row.metrics["forgetting/forgotten_share"] == pytest.approx((0.6 - after) / 0.5)
    assert (row.metrics["forgetting/train_accuracy_before"], row.metrics["forgetting/ascent_dose"]) == (0.6, 0.03)
    sentence = (
        f"no forgetting happened in generation 3: train accuracy 60.0% -> {after:.1%} at an ascent dose of 0.03; "
    )
    assert row.warnings == ([sentence + "raise ascent_scale or ascent_epochs"] if warned else [])


def test_forgetting_is_measured_at_the_end_of_every_ascent() -> None:
    _, rows = run(small_spec({"name": "seal", "ascent_scale": 0.5}, epochs=8))
    measured = {
        (row.generation, row.epoch, row.phase) for row in rows if "forgetting/train_accuracy_after" in row.metrics
    }
    assert measured == {(1, 1, "forgetting"), (2, 1, "forgetting")}
    at_end = {row.generation: row.metrics["train/accuracy_eval"] for row in rows if row.epoch == 7}
    before = {
        row.generation: row.metrics["forgetting/train_accuracy_before"]
        for row in rows
        if row.epoch == 1 and row.generation
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
    assert row.metrics["forgetting/redrawn_share"] == 18_240 / 19_902
    assert row.metrics["forgetting/train_accuracy_before"] > 0.5
    assert row.metrics["forgetting/train_accuracy_after"] < 0.3
    assert row.warnings == []


@every_method
def test_the_norms_are_those_of_the_weights(method: dict[str, Any]) -> None:
    state, rows = run(small_spec(method, generations=2, epochs=2))

    def norm(late: bool) -> float:
        parts = [p.detach().flatten() for name, p in state.model.named_parameters() if name.startswith(LATE) == late]
        return float(torch.cat(parts).square().sum().sqrt())

    assert rows[-1].metrics["norm/early"] == pytest.approx(norm(late=False), rel=1e-12)
    assert rows[-1].metrics["norm/late"] == pytest.approx(norm(late=True), rel=1e-12)


def test_the_norms_are_cut_where_the_method_cuts() -> None:
    """From generation 1 on: generation 0, which methods share, is cut at the middle for all."""
    state, rows = run(small_spec({"name": "llf", "layer_threshold": "fc"}, generations=2, epochs=1))
    _, normal = run(small_spec({"name": "normal"}, generations=1, epochs=1))
    assert rows[0].metrics["norm/late"] == normal[0].metrics["norm/late"]
    weight, bias = state.model.get_parameter("fc.weight").detach(), state.model.get_parameter("fc.bias").detach()
    assert rows[-1].metrics["norm/late"] == pytest.approx(
        float((weight.square().sum() + bias.square().sum()).sqrt()), rel=1e-12
    )


@pytest.mark.parametrize(
    ("method", "redrawn", "pruned"),
    [
        ({"name": "normal"}, None, None),
        ({"name": "seal"}, None, None),
        ({"name": "llf"}, [18_240, 18_240], [0, 0]),
        ({"name": "llf", "redraw_bias": True}, [18_250, 18_250], [0, 0]),
        ({"name": "llf", "redraw_bn": True}, [18_528, 18_528], [0, 0]),
        ({"name": "seal", "variant": "reinit"}, [18_240, 18_240], [0, 0]),
        ({"name": "ke", "split_rate": 1.0}, [0, 0], [0, 0]),
        ({"name": "ke", "split_rate": 0.5}, [14_542, 14_542], [0, 0]),
        ({"name": "born-again"}, [19_902, 19_902], [0, 0]),
        ({"name": "imp", "rate": 0.5, "output_rate": 0.0}, [0, 0], [9_606, 14_409]),
        ({"name": "sa-gd"}, None, None),
    ],
    ids=str,
)
def test_a_generations_start_reports_what_it_forgot(
    method: dict[str, Any], redrawn: list[int] | None, pruned: list[int] | None
) -> None:
    """The net has 19,902 parameters."""
    _, rows = run(small_spec(method, epochs=2))
    for metric, expected in (("forgetting/redrawn_share", redrawn), ("forgetting/pruned_share", pruned)):
        reported = [row.metrics.get(metric) for row in rows if row.epoch == 0]
        assert reported == [None, *([count / 19_902 for count in expected] if expected else [None, None])]
        assert all(metric not in row.metrics for row in rows if row.epoch)


@pytest.mark.parametrize(
    "method", [{"name": "llf", "layer_threshold": "fc.bias"}, {"name": "ke", "split_rate": 1.0}], ids=label
)
def test_a_start_that_changed_no_weight_says_so(method: dict[str, Any]) -> None:
    _, rows = run(small_spec(method, generations=2))
    before = next(row.metrics["train/accuracy_eval"] for row in rows if row.epoch == 3)
    sentence = f"no forgetting happened in generation 1: train accuracy {before:.1%} -> {before:.1%}"
    assert [row.warnings for row in rows] == [[]] * 4 + [[f"{sentence}: no weight was re-drawn or pruned"]] + [[]] * 3


def test_reinit_is_measured_after_the_draw_and_after_the_ascent() -> None:
    _, rows = run(small_spec({"name": "seal", "variant": "reinit", "ascent_epochs": 3}, generations=2))
    measured = [row.epoch for row in rows if "forgetting/train_accuracy_after" in row.metrics]
    assert measured == [0, 2]
    assert "forgetting/ascent_dose" not in rows[4].metrics
    assert rows[6].metrics["forgetting/ascent_dose"] > 0


class Watched(DataBatches):
    """Batches that record which splits were evaluated."""

    def __init__(self, dataset: Dataset, batch_size: int) -> None:
        super().__init__(dataset, batch_size)
        self.evaluated: list[str] = []

    def evaluate(self, model: nn.Module, split: SplitName) -> tuple[float, float]:
        self.evaluated.append(split)
        return super().evaluate(model, split)


@pytest.mark.parametrize(
    ("method", "later"),
    [
        ({"name": "normal"}, [[], [], ["test"], ["train", "test"]]),
        ({"name": "llf"}, [["train"], [], ["test"], ["train", "test"]]),
        ({"name": "seal", "ascent_epochs": 2}, [[], ["train"], ["test"], ["train", "test"]]),
        ({"name": "seal", "ascent_epochs": 4}, [[], [], ["test"], ["train", "test"]]),
        (
            {"name": "seal", "variant": "reinit", "ascent_epochs": 1},
            [["train", "train"], [], ["test"], ["train", "test"]],
        ),
    ],
    ids=str,
)
def test_a_split_is_evaluated_when_it_is_due_and_only_once(method: dict[str, Any], later: list[list[str]]) -> None:
    """In generation 0, which forgets nothing, and in generation 1; the test split is due after every third epoch."""
    one = small_spec(method, generations=2, evaluate_every=3)
    state, _ = begin(one)
    batches = Watched(one.data.load(), one.train.batch_size)
    found = []
    for _ in loop.train(one, state, batches):
        found.append(list(batches.evaluated))
        batches.evaluated.clear()
    assert found == [[], [], ["test"], ["train", "test"], *later]
