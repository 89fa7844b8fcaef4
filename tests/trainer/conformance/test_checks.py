"""Tests that each error of a method in training fails the finding that covers it."""

import random
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import PrivateAttr
from torch import Tensor

from tests.trainer.conformance.builders import Own, failed
from trainer.conformance.checks import check_method
from trainer.core.state import TrainState
from trainer.methods.base import CrossEntropy, Forgotten, Method, Step

CALLS: dict[str, int] = {}


class Frozen(Own):
    """Never learns."""

    def before_step(self, state: TrainState, step: Step) -> None:
        for parameter in state.model.parameters():
            parameter.grad = None


class Diverging(Own):
    """Overflows in generation 1."""

    def forget(self, state: TrainState) -> Forgotten:
        state.model.get_parameter("fc.bias").data.fill_(torch.inf)
        return Forgotten()


class Raising(Own):
    """Has a bug in generation 1."""

    def forget(self, state: TrainState) -> Forgotten:
        return Forgotten(int(state.memory["own/never there"].sum()))


class Untensored(Own):
    """Remembers a value that a checkpoint cannot hold."""

    def forget(self, state: TrainState) -> Forgotten:
        state.memory["own/generation"] = state.generation  # type: ignore[assignment]
        return Forgotten()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Frozen, "the loss must fall within generation 0; its epochs had "),
        (Diverging, "the loss became"),
        (Raising, """int(state.memory["own/never there"].sum())"""),
        (Raising, "KeyError: 'own/never there'"),
        (Untensored, "state.memory['own/generation'] must be a tensor, got int: only those are saved"),
    ],
)
def test_a_method_that_cannot_train_is_not_checked_further(kind: type[Method], message: str) -> None:
    findings = check_method(kind)
    assert [finding.name for finding in findings] == ["settings", "phases", "trains"]
    assert not findings[-1].passed
    assert message in findings[-1].detail


class DrawsGlobally(Own):
    """Draws from torch's global generator."""

    def forget(self, state: TrainState) -> Forgotten:
        weight = state.model.get_parameter("fc.weight")
        weight.data.add_(torch.randn(weight.shape), alpha=0.1)
        return Forgotten(weight.numel())


class SeedsGlobally(Own):
    """Seeds torch's global generator, which also fixes all later draws of other code."""

    def forget(self, state: TrainState) -> Forgotten:
        torch.manual_seed(state.seed)
        weight = state.model.get_parameter("fc.weight")
        weight.data.add_(torch.randn(weight.shape), alpha=0.1)
        return Forgotten(weight.numel())


class DrawsElsewhere(Own):
    """Draws from the global generators of the standard library and numpy, and ignores the numbers."""

    def forget(self, state: TrainState) -> None:
        random.random()
        np.random.rand()


class CountsInItsClass(Own):
    """Remembers in its class how often it was called."""

    calls: ClassVar[list[int]] = []

    def before_step(self, state: TrainState, step: Step) -> None:
        self.calls.append(step.index)
        state.model.get_parameter("fc.bias").data.add_(len(self.calls) * 1e-3 * (state.generation > 0))


class CountsInItsModule(Own):
    """Remembers in a global of its module how often it was called."""

    def before_step(self, state: TrainState, step: Step) -> None:
        CALLS["steps"] = CALLS.get("steps", 0) + 1
        state.model.get_parameter("fc.bias").data.add_(CALLS["steps"] * 1e-3 * (state.generation > 0))


class CountsInItself(Own):
    """Remembers how often it was called in the method object, which a resumed run creates again."""

    _calls: list[int] = PrivateAttr(default_factory=list)

    def before_step(self, state: TrainState, step: Step) -> None:
        self._calls.append(step.index)
        state.model.get_parameter("fc.bias").data.add_(len(self._calls) * 1e-3 * (state.generation > 0))


class RemembersTheStartInItsClass(Own):
    """Rewinds to weights that it keeps in the process, but in no checkpoint."""

    start: ClassVar[dict[str, Tensor]] = {}

    def before_step(self, state: TrainState, step: Step) -> None:
        if (state.generation, state.epoch, step.index) == (0, 0, 0):
            self.start.update({name: each.detach().clone() for name, each in state.model.named_parameters()})

    def forget(self, state: TrainState) -> Forgotten:
        for name, parameter in state.model.named_parameters():
            parameter.data.copy_(self.start[name])
        return Forgotten(1)


class AddsToTheState(Own):
    """Keeps a number beside the fields of TrainState."""

    def before_step(self, state: TrainState, step: Step) -> None:
        state.steps = getattr(state, "steps", 0) + 1  # type: ignore[attr-defined]
        state.model.get_parameter("fc.bias").data.add_(state.steps * 1e-3 * (state.generation > 0))  # type: ignore[attr-defined]


class FreezesByFlag(Own):
    """Sets a flag of a parameter, which is in no checkpoint."""

    def forget(self, state: TrainState) -> None:
        state.model.get_parameter("conv1.weight").requires_grad = False


class ChangesTheStart(Own):
    """Changes generation 0 without declaring it."""

    def loss(
        self, state: TrainState, images_BCHW: Tensor, labels_B: Tensor, cross_entropy: CrossEntropy
    ) -> tuple[Tensor, Tensor]:
        loss, logits_BC = super().loss(state, images_BCHW, labels_B, cross_entropy)
        return loss * 0.5, logits_BC


class RemembersAtTheStart(Own):
    """Trains generation 0 ordinarily, but needs a memory that the checkpoint of another method would not have."""

    def before_step(self, state: TrainState, step: Step) -> None:
        state.memory["own/steps"] = torch.tensor(step.index)

    def forget(self, state: TrainState) -> Forgotten:
        return Forgotten(int(state.memory["own/steps"]))


class HidesItsForgetting(Own):
    """Has the content key of ordinary training in generation 2, but forgets there."""

    def forget(self, state: TrainState) -> Forgotten:
        state.model.get_parameter("fc.weight").data.mul_(0.5)
        return Forgotten(1)

    def identity(self, generation: int) -> dict[str, Any] | None:
        return super().identity(generation) if generation < 2 else None


class NeedsItsOwnStart(RemembersAtTheStart):
    """Declares that it changes generation 0, but not that it cannot continue from another method's generation 0."""

    def identity(self, generation: int) -> dict[str, Any] | None:
        return {"name": self.name}


class WrongTwin(Own):
    """Declares an identity that does not hold."""

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "own"}, {"name": "normal"}), ({"name": "own"}, {"name": "llf"})]


class UnknownTwin(Own):
    """Declares a twin with settings that do not exist."""

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "own", "scale": 1}, {"name": "normal"})]


@pytest.mark.parametrize(
    ("kind", "expected", "message"),
    [
        (DrawsGlobally, {"deterministic", "resumes", "isolated"}, "epoch 0 of generation 1 in "),
        (SeedsGlobally, {"isolated"}, "training changed torch's global generator:"),
        (DrawsElsewhere, {"isolated"}, "training changed numpy's global generator, random's global generator:"),
        (CountsInItsClass, {"deterministic", "resumes", "isolated"}, "training changed CountsInItsClass.calls:"),
        (CountsInItsModule, {"deterministic", "resumes", "isolated"}, f"training changed {__name__}.CALLS:"),
        (CountsInItself, {"resumes", "isolated"}, "training changed the method object:"),
        (
            RemembersTheStartInItsClass,
            {"resumes", "isolated"},
            "stopped after epoch 2 of generation 1 and resumed from its checkpoint, "
            "epoch 0 of generation 2 differs in ",
        ),
        (AddsToTheState, {"resumes", "isolated"}, "training changed state.steps:"),
        (FreezesByFlag, {"resumes"}, "what a method must remember belongs into state.memory, as tensors"),
        (
            ChangesTheStart,
            {"shares"},
            "identity(0) is None, so generation 0 must be ordinary training bit for bit, but it differs in weights/",
        ),
        (RemembersAtTheStart, {"shares", "forks"}, "it differs in memory/own/steps:"),
        (HidesItsForgetting, {"shares"}, "identity(2) is None, so generation 2 must be ordinary"),
        (NeedsItsOwnStart, {"forks"}, "KeyError: 'own/steps'"),
        (WrongTwin, {"twins"}, '{"name": "own"} must equal {"name": "llf"} bit for bit, but differs in weights/'),
        (UnknownTwin, {"twins"}, "ValueError: scale: 'scale' is not a field here"),
    ],
)
def test_an_error_in_training_fails_the_finding_that_covers_it(
    kind: type[Method], expected: set[str], message: str
) -> None:
    found = failed(kind)
    assert found.keys() == expected
    assert any(message in detail for detail in found.values())
