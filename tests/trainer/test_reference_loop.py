"""Every method against plain loops written from the protocols, step by step in float64.

Each known pitfall (protocols section 10) is a wrong variant of those loops, and must come out different.
"""

import json
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.builders import run, small_spec
from tests.trainer.reference import CASES, DECAY, Outcome, Reference, case_label, error, trained
from trainer import spec
from trainer.methods import SEAL

AGREES, DIFFERS = 1e-12, 1e-5

LLF: dict[str, Any] = {"name": "llf"}
SEAL_2: dict[str, Any] = {"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 2}


@pytest.mark.parametrize("case", CASES, ids=case_label)
def test_every_loss_and_all_weights_agree_with_a_plain_loop(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    found = error(trained(*case), Reference(*case).train())
    assert found.loss < AGREES
    assert found.weight < AGREES


@pytest.mark.parametrize(
    "method", [method for method, _ in CASES if method["name"] == "sa-gd"], ids=lambda each: str(each)
)
def test_the_compared_sa_gd_runs_both_ascend_and_descend(method: dict[str, Any]) -> None:
    _, rows = run(small_spec(method))
    assert all(0 < row.metrics["forgetting/ascent_steps"] < 12 for row in rows if row.epoch == 3)


class AscendsInGeneration0(Reference):
    def in_ascent(self, g: int, e: int) -> bool:
        return e < self.k


class AscendsEveryFewEpochsOfTheRun(Reference):
    def in_ascent(self, g: int, e: int) -> bool:
        return g > 0 and (g * self.epochs + e) % 3 < self.k


class AscendsAtAConstantRate(Reference):
    def ascent_rate(self, eta: float) -> float:
        return float(self.method["ascent_scale"] * self.lr)


class DecayKeepsItsSign(Reference):
    def rates(self, name: str, eta: float, g: int, e: int) -> tuple[float, float] | None:
        move, _ = super().rates(name, eta, g, e) or (0.0, 0.0)
        return move, DECAY


class MomentumLivesOn(Reference):
    def zero_momentum(self, g: int, e: int) -> None:
        pass


class MomentumLivesOnThroughTheSwitch(Reference):
    def zero_momentum(self, g: int, e: int) -> None:
        if e == 0:
            super().zero_momentum(g, e)


class OnlyAscendingMomentumIsReset(Reference):
    def zero_momentum(self, g: int, e: int) -> None:
        kept = {name: v for name, v in self.velocity.items() if e > 0 and not self.ascends(name)}
        super().zero_momentum(g, e)
        self.velocity |= kept


class CosineRestartsAtTheSwitch(Reference):
    def eta(self, g: int, e: int) -> float:
        return super().eta(g, e - self.k if g > 0 and e >= self.k else e)


class WarmsUpOnce(Reference):
    def eta(self, g: int, e: int) -> float:
        return super().eta(g, e if g == 0 else e + self.warmup)


class RedrawsFromTheInitialLaw(Reference):
    def draw_uniform(self, name: str, weight: str, g: int) -> None:
        self.draw_he(name, torch.Generator().manual_seed(g))


class RedrawsTheOutputBias(Reference):
    def forget_late(self, g: int) -> None:
        super().forget_late(g)
        self.draw_uniform("fc.bias", "fc.weight", g)


class ResetsLateNorms(Reference):
    def reset_norm(self, norm: nn.BatchNorm2d, affine: object, statistics: object) -> None:
        super().reset_norm(norm, affine=True, statistics=False)


class ResetsLateStatistics(Reference):
    def reset_norm(self, norm: nn.BatchNorm2d, affine: object, statistics: object) -> None:
        super().reset_norm(norm, affine=False, statistics=True)


class KeepsDownsampleConvs(Reference):
    def is_redrawn(self, name: str) -> bool:
        return super().is_redrawn(name) and "downsample" not in name


class KeepsTheOutputLayer(Reference):
    def is_redrawn(self, name: str) -> bool:
        return super().is_redrawn(name) and not name.startswith("fc.")


class ForgetsTheOtherSide(Reference):
    def is_late(self, name: str) -> bool:
        return not super().is_late(name)


class CutsOneConvTooEarly(Reference):
    def is_late(self, name: str) -> bool:
        return super().is_late(name) or name.startswith("layer3")


class NoDecayOnNormsAndBiases(Reference):
    def rates(self, name: str, eta: float, g: int, e: int) -> tuple[float, float] | None:
        move, decay = super().rates(name, eta, g, e) or (0.0, 0.0)
        return move, decay if self.is_layer_weight(name) else 0.0


class NormsDoNotAscend(Reference):
    def ascends(self, name: str) -> bool:
        return super().ascends(name) and self.is_layer_weight(name)


class EarlyLayersAreInEvalModeWhileTheyAscend(Reference):
    def set_modes(self, g: int, e: int) -> None:
        for name, module in self.model.named_modules():
            module.train(not (self.in_ascent(g, e) and name and not self.is_late(name)))


class FrozenWeightsDecay(Reference):
    def rates(self, name: str, eta: float, g: int, e: int) -> tuple[float, float] | None:
        rates = super().rates(name, eta, g, e)
        if rates is None:
            self.model.get_parameter(name).data.mul_(1 - eta * DECAY)
        return rates


class FrozenToTheEnd(Reference):
    def rates(self, name: str, eta: float, g: int, e: int) -> tuple[float, float] | None:
        return super().rates(name, eta, g, e) if g == 0 or not self.is_late(name) else None


class FrozenFromTheStart(Reference):
    def rates(self, name: str, eta: float, g: int, e: int) -> tuple[float, float] | None:
        return None if g == 0 and e < self.k and self.is_late(name) else super().rates(name, eta, g, e)


class FrozenStatistics(Reference):
    def set_modes(self, g: int, e: int) -> None:
        for name, module in self.model.named_modules():
            module.train(not (self.in_ascent(g, e) and isinstance(module, nn.BatchNorm2d) and self.is_late(name)))


class SmoothsOnlyOverOtherClasses(Reference):
    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        negative_log = -logits.log_softmax(1)
        true_class = negative_log.gather(1, labels[:, None])[:, 0]
        others = (negative_log.sum(1) - true_class) / (logits.shape[1] - 1)
        return (0.9 * true_class + 0.1 * others).mean()


class RoundsKDown(Reference):
    def in_ascent(self, g: int, e: int) -> bool:
        return g > 0 and e < self.epochs // 4


class NoResetAtAFractionalK(Reference):
    def zero_momentum(self, g: int, e: int) -> None:
        if e != self.k:
            super().zero_momentum(g, e)


class AscendsOnlyAfterTheWarmUp(Reference):
    def in_ascent(self, g: int, e: int) -> bool:
        return super().in_ascent(g, e) and e >= self.warmup


class StudentsGoOnFromTheTeacher(Reference):
    def start_afresh(self, g: int) -> None:
        pass


class StudentsRepeatTheFirstDraw(Reference):
    def start_afresh(self, g: int) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.data.copy_(self.first[name])


class TeacherInTrainMode(Reference):
    def set_modes(self, g: int, e: int) -> None:
        if self.teacher is not None:
            self.teacher.train()


class TeacherSeesOtherImages(Reference):
    def divergence(self, logits: Tensor, images: Tensor, tau: float) -> Tensor:
        return super().divergence(logits, images.roll(1, 3), tau)


class LayersStartAfreshAsStudentsDo(Reference):
    def boundary(self, g: int) -> None:
        self.start_afresh(g)
        super().boundary(g)


class PatriarchDividesByK(Reference):
    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        if self.teacher is not None:
            return super().loss(images, labels)
        logits: Tensor = self.model(images)
        scores = logits.softmax(1).sort(1, descending=True).values
        gap = scores[:, 0] - scores[:, 1:5].sum(1) / 5
        return 0.6 * self.cross_entropy(logits, labels) + 0.4 * gap.mean()


WARM: dict[str, Any] = {"recipe": "official-code", "schedule": {"warmup_epochs": 1}}
BORN_AGAIN: dict[str, Any] = {"name": "born-again"}

PITFALLS: list[tuple[int, type[Reference], dict[str, Any], dict[str, Any]]] = [
    (1, AscendsInGeneration0, SEAL_2, {}),
    (1, AscendsEveryFewEpochsOfTheRun, SEAL_2, {}),
    (2, AscendsAtAConstantRate, SEAL_2, {}),
    (3, DecayKeepsItsSign, SEAL_2, {}),
    (4, MomentumLivesOn, {"name": "normal"}, {}),
    (4, MomentumLivesOnThroughTheSwitch, SEAL_2, {}),
    (4, OnlyAscendingMomentumIsReset, SEAL_2, {}),
    (5, CosineRestartsAtTheSwitch, SEAL_2, {}),
    (5, WarmsUpOnce, {"name": "normal"}, WARM),
    (6, RedrawsFromTheInitialLaw, LLF, {}),
    (6, RedrawsTheOutputBias, LLF, {}),
    (6, ResetsLateNorms, LLF, {}),
    (6, ResetsLateStatistics, LLF, {"epochs": 1}),
    (6, KeepsDownsampleConvs, LLF, {}),
    (6, KeepsTheOutputLayer, LLF, {}),
    (7, ForgetsTheOtherSide, LLF, {}),
    (8, CutsOneConvTooEarly, SEAL_2 | {"layer_threshold": 8}, {}),
    (9, NoDecayOnNormsAndBiases, {"name": "normal"}, {}),
    (10, NormsDoNotAscend, SEAL_2, {}),
    (10, EarlyLayersAreInEvalModeWhileTheyAscend, SEAL_2, {}),
    (11, FrozenWeightsDecay, SEAL_2 | {"variant": "freeze"}, {}),
    (11, FrozenToTheEnd, SEAL_2 | {"variant": "freeze"}, {}),
    (11, FrozenFromTheStart, SEAL_2 | {"variant": "freeze"}, {}),
    (11, FrozenStatistics, SEAL_2 | {"variant": "freeze"}, {}),
    (13, SmoothsOnlyOverOtherClasses, {"name": "normal"}, {}),
    (18, RoundsKDown, {"name": "seal", "ascent_scale": 0.5}, {"epochs": 5}),
    (18, NoResetAtAFractionalK, {"name": "seal", "ascent_scale": 0.5}, {"epochs": 5}),
    (18, AscendsOnlyAfterTheWarmUp, SEAL_2, {"schedule": {"warmup_epochs": 3}}),
    (25, StudentsGoOnFromTheTeacher, BORN_AGAIN, {}),
    (25, StudentsRepeatTheFirstDraw, BORN_AGAIN, {}),
    (25, MomentumLivesOn, BORN_AGAIN, {}),
    (25, TeacherInTrainMode, BORN_AGAIN, {}),
    (25, TeacherSeesOtherImages, {"name": "self-distillation"}, {}),
    (25, LayersStartAfreshAsStudentsDo, SEAL_2, {}),
    (25, LayersStartAfreshAsStudentsDo, LLF, {}),
    (25, PatriarchDividesByK, {"name": "tolerant-teacher"}, {}),
]


@pytest.mark.parametrize(
    ("wrong", "method", "train"),
    [pytest.param(wrong, method, train, id=f"{number}-{wrong.__name__}") for number, wrong, method, train in PITFALLS],
)
def test_a_pitfall_would_be_seen(wrong: type[Reference], method: dict[str, Any], train: dict[str, Any]) -> None:
    short = {"generations": 2} | train
    found = error(trained_once(json.dumps(method), json.dumps(short)), wrong(method, short).train())
    assert max(found.loss, found.weight) > DIFFERS


@cache
def trained_once(method: str, train: str) -> Outcome:
    """Many pitfalls stand against one run."""
    return trained(json.loads(method), json.loads(train))


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
