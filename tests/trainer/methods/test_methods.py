"""What every method promises: it trains, it repeats itself, it resumes bit for bit, and it reports what it did."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.builders import EVERY_METHOD, begin, bits, label, run, small_spec
from trainer import loop
from trainer.core import checkpoint, masks, models
from trainer.core.determinism import fingerprint
from trainer.core.state import EpochRow, TrainState
from trainer.methods import LLF, SEAL, Phase
from trainer.methods.imp import IterativeMagnitudePruning
from trainer.methods.ke import KnowledgeEvolution
from trainer.methods.sa_gd import AnnealedDescent
from trainer.monitors import note_forgetting

NAMES = [name for name, _ in models.skeleton(models.DigitsResNet(), 10).named_parameters()]
LATE = ("layer3", "layer4", "fc")
every_method = pytest.mark.parametrize("method", EVERY_METHOD, ids=label)


def everything(state: TrainState) -> dict[str, str]:
    """Digests of all that shapes the next step."""
    teacher = {} if state.teacher is None else state.teacher.state_dict()
    parts = {"model": state.model.state_dict(), "momentum": state.momentum, "memory": state.memory, "teacher": teacher}
    return {name: checkpoint.weights_digest(tensors) for name, tensors in parts.items()}


@every_method
def test_it_learns(method: dict[str, Any]) -> None:
    _, rows = run(small_spec(method, generations=2, epochs=12, batch_size=8))
    assert [(row.generation, row.epoch) for row in rows] == [(g, e) for g in range(2) for e in range(12)]
    assert rows[-1].metrics["train/accuracy_eval"] > 0.2  # chance is 0.1


@every_method
def test_the_same_spec_gives_the_same_bits(method: dict[str, Any]) -> None:
    one = small_spec(method, generations=2, batch_size=20)
    (first, first_rows), (second, second_rows) = run(one), run(one)
    assert bits(first) == bits(second)
    assert first_rows == second_rows


@pytest.mark.parametrize(
    ("method", "resets"),
    [
        *((method, ["generation", "switch"]) for method in EVERY_METHOD),
        ({"name": "normal"}, []),
        ({"name": "seal", "ascent_scale": 0.5, "variant": "freeze"}, []),
        ({"name": "imp", "rewind_epoch": 2}, []),
        ({"name": "born-again"}, ["switch"]),
    ],
    ids=str,
)
def test_stopping_after_any_epoch_and_resuming_gives_the_same_bits(
    method: dict[str, Any], resets: list[str], tmp_path: Path
) -> None:
    """Two generations of four epochs; a seal's ascent takes two, so that epoch 5 ends in the middle of it and 6 at its end."""
    two_epochs = {"ascent_epochs": 2} if method["name"] == "seal" else {}
    one = small_spec(method | two_epochs, generations=2, batch_size=20, reset_momentum_at=resets)
    whole, batches = begin(one)
    rows, after = [], {}
    for stop, row in enumerate(loop.train(one, whole, batches), 1):
        rows.append(row)
        after[stop] = everything(whole)
        checkpoint.save(tmp_path / f"{stop}", whole, "key", fingerprint(torch.device("cpu")))
    for stop in range(1, 8):
        resumed, batches = begin(one)
        checkpoint.load(tmp_path / f"{stop}", resumed)
        assert everything(resumed) == after[stop]
        ahead = 3 if stop == 5 else 1  # where that is the next stop, the rest follows
        assert list(islice(loop.train(one, resumed, batches), ahead)) == rows[stop : stop + ahead]
        assert everything(resumed) == after[stop + ahead]


def test_what_a_checkpoint_in_the_middle_of_a_generation_holds() -> None:
    held = {}
    for method in ({"name": "seal"}, {"name": "imp"}, {"name": "sa-gd"}, {"name": "born-again"}):
        one = small_spec(method, generations=2)
        state, batches = begin(one)
        list(islice(loop.train(one, state, batches), 6))
        held[method["name"]] = (
            len(state.momentum),
            len({key.split("/")[0] for key in state.memory}),
            state.teacher is not None,
        )
    assert held == {
        "seal": (len(NAMES), 0, False),
        "imp": (len(NAMES), 1, False),
        "sa-gd": (len(NAMES), 1, False),
        "born-again": (len(NAMES), 0, True),
    }


@every_method
def test_generation_0_is_normal_or_says_that_it_is_its_own(method: dict[str, Any]) -> None:
    normal, _ = run(small_spec({"name": "normal"}, generations=1))
    one = small_spec(method, generations=1)
    own = one.method.identity(0)
    assert own is None or own["name"] == method["name"]
    shaped_otherwise = method["name"] in ("sa-gd", "tolerant-teacher")
    assert (bits(run(one)[0]) != bits(normal)) == shaped_otherwise
    assert (own is not None) == (shaped_otherwise or "rewind_epoch" in method)


@every_method
def test_later_generations_are_keyed_by_all_that_was_set(method: dict[str, Any]) -> None:
    assert small_spec(method).method.identity(1) == method


def test_what_shapes_generation_0_alone_is_in_its_key_alone_as_far_as_it_matters() -> None:
    taught = small_spec({"name": "tolerant-teacher", "label_weight": 0.25, "similar_classes": 3}).method
    assert taught.identity(0) == {"name": "tolerant-teacher", "similar_classes": 3}
    assert small_spec({"name": "tolerant-teacher", "patriarch_label_weight": 1.0}).method.identity(0) is None
    assert small_spec({"name": "imp", "rate": 0.5, "rewind_epoch": 2}).method.identity(0) == {
        "name": "imp",
        "rewind_epoch": 2,
    }
    assert small_spec({"name": "sa-gd", "sigma": 2.0}).method.identity(0) == {"name": "sa-gd", "sigma": 2.0}


def test_momentum_lives_on_exactly_where_it_is_not_reset() -> None:
    """After each of the six epochs of two generations, with a switch after the first epoch of the second."""
    held = {}
    for resets in ([], ["generation"], ["switch"], ["generation", "switch"]):
        one = small_spec({"name": "seal", "ascent_epochs": 1}, generations=2, epochs=3, reset_momentum_at=resets)
        state, batches = begin(one)
        held["+".join(resets)] = "".join("1" if state.momentum else "0" for _ in loop.train(one, state, batches))
    assert held == {"": "111111", "generation": "110110", "switch": "111011", "generation+switch": "110010"}


def test_seal_ascends_early_layers_in_the_first_quarter_of_later_generations() -> None:
    seal = SEAL(ascent_scale=0.01)
    assert seal.phases(0, 160) == [Phase("learning", range(160))]
    forgetting, relearning = seal.phases(1, 160)
    assert (forgetting.epochs, relearning.epochs) == (range(40), range(40, 160))
    assert (forgetting.scales["early"].lr, forgetting.scales["early"].weight_decay) == (-0.01, -1.0)
    assert relearning.scales == {}
    assert [seal.k(epochs) for epochs in (70, 90, 160)] == [18, 23, 40]
    assert SEAL(ascent_fraction=0.07).k(100) == 7  # 0.07 * 100 is 7.000000000000001


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


@pytest.mark.parametrize(
    ("annealing", "change", "lr", "epoch", "expected"),
    [
        ("single", 1.0, 0.1, 0, 0.382_206),  # exp(-1 / (15 * 0.1 * ln 2))
        ("single", 2.0, 0.05, 8, 0.314_077),  # exp(-2 / (15 * 0.05 * ln 10))
        ("single", 0.0, 0.1, 5, 1.0),
        ("double", 0.5, 0.1, 0, 0.488_303),  # exp(-(0.5^(ln 2)^(-1/e) / (15 * 0.1 * ln 2))^(0.5772 ln 2))
        ("double", 0.25, 0.02, 6, 0.610_019),
        ("double", 0.0, 0.1, 3, 1.0),
    ],
)
def test_the_probability_of_descent_is_the_formulas(
    annealing: Any, change: float, lr: float, epoch: int, expected: float
) -> None:
    found = AnnealedDescent(annealing=annealing).descent_probability(
        torch.tensor(change, dtype=torch.float64), lr, epoch
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_sa_gd_counts_its_ascents_and_their_dose_within_a_generation() -> None:
    """So cold that every step ascends."""
    method = {"name": "sa-gd", "temperature": 1e-9, "most_ascent": 1.0, "sigma": 2.0}
    one = small_spec(method, generations=2, lr=1e-3)
    _, rows = run(one)
    assert [row.metrics["forgetting/ascent_steps"] for row in rows] == [3, 6, 9, 12] * 2
    rates = [1e-3 * one.train.schedule.factor(0, epoch, 4, 2) for epoch in range(4)]
    doses = [row.metrics["forgetting/ascent_dose"] for row in rows]
    assert doses == pytest.approx([3 * 2.0 * sum(rates[: epoch + 1]) for epoch in range(4)] * 2, rel=1e-12)
    assert rows[7].metrics["train/loss"] > rows[0].metrics["train/loss"]


def test_no_more_than_the_capped_share_of_sa_gds_steps_ascends() -> None:
    """So cold that the cap alone decides: of 480 draws at 0.25, 120 are expected, with a standard deviation of 9.5."""
    _, rows = run(
        small_spec({"name": "sa-gd", "temperature": 1e-9, "most_ascent": 0.25}, generations=1, epochs=48, batch_size=4)
    )
    assert 84 < rows[-1].metrics["forgetting/ascent_steps"] < 156


def test_imp_keeps_the_expected_density_and_what_is_pruned_stays_zero() -> None:
    one = small_spec({"name": "imp", "rate": 0.3}, generations=4, epochs=2)
    state, batches = begin(one)
    for row in loop.train(one, state, batches):
        for name, weight in masks.weights(state.model).items():
            kept = 1 - (0.15 if name == "fc.weight" else 0.3)
            alive = int((weight != 0).sum())
            assert abs(alive - weight.numel() * kept**row.generation) <= row.generation
            if row.generation:
                assert alive == int(state.memory[f"imp/alive/{name}"].sum())
    assert {name for name, p in state.model.named_parameters() if (p == 0).any()} == set(masks.weights(state.model))


@pytest.mark.parametrize("rewind_epoch", [0, 1, 3])
def test_imps_survivors_return_to_the_weights_of_the_asked_epoch_and_statistics_to_none(rewind_epoch: int) -> None:
    normal = small_spec({"name": "normal"}, generations=1)
    early, batches = begin(normal)
    list(islice(loop.train(normal, early, batches), rewind_epoch))
    state, _ = run(small_spec({"name": "imp", "rewind_epoch": rewind_epoch}, generations=1))
    loop.begin_generation(state)
    IterativeMagnitudePruning(rewind_epoch=rewind_epoch).forget(state)
    for name, parameter in state.model.named_parameters():
        alive = state.memory.get(f"imp/alive/{name}", torch.ones_like(parameter))
        assert torch.equal(parameter.data, early.model.get_parameter(name).data * alive), name
    statistics = {name: tensor for name, tensor in state.model.named_buffers() if "running" in name}
    assert all((tensor == float("var" in name)).all() for name, tensor in statistics.items())


@pytest.mark.parametrize("split", ["kels", "wels"])
def test_ke_redraws_what_is_outside_the_hypothesis_and_nothing_else(split: Any) -> None:
    state, _ = run(small_spec({"name": "normal"}, generations=1))
    loop.begin_generation(state)
    ke = KnowledgeEvolution(split=split)
    kept = ke.mask(state)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    ke.forget(state)
    for name, now in state.model.state_dict().items():
        outside = ~kept[name] if name in kept else torch.zeros_like(now, dtype=torch.bool)
        assert torch.equal(now != before[name], outside), name
        if name in kept:
            assert now[outside].abs().max() <= 1 / now[0].numel() ** 0.5
    drawn = state.model.get_parameter("layer4.0.conv2.weight")
    values = drawn[~kept["layer4.0.conv2.weight"]]
    assert values.std().item() == pytest.approx(1 / (3 * drawn[0].numel()) ** 0.5, rel=0.03)


@pytest.mark.parametrize("name", ["born-again", "tolerant-teacher", "self-distillation"])
def test_a_student_is_new_and_its_teacher_is_the_generation_before_in_eval_mode(name: str) -> None:
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


def test_students_start_from_the_initial_law_with_draws_of_their_own() -> None:
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


def test_contradictions_of_the_other_methods() -> None:
    ((field, message),) = KnowledgeEvolution(redraw_mask=True).problems(4, NAMES)
    assert (field, message.split(":")[0]) == ("redraw_mask", "the mask of kels is fixed by the channels")
    assert IterativeMagnitudePruning(rewind_epoch=4).problems(4, NAMES) == [
        ("rewind_epoch", "generation 0 has 4 epochs, so it never starts epoch 4")
    ]
    assert IterativeMagnitudePruning(rewind_epoch=3).problems(4, NAMES) == []
