"""Each known pitfall (protocols section 10) is a wrong variant of the plain loops, and must come out different."""

import json
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.reference import DECAY, Outcome, Reference, error, trained

DIFFERS = 1e-5
LLF: dict[str, Any] = {"name": "llf"}
SEAL_2: dict[str, Any] = {"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 2}


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
