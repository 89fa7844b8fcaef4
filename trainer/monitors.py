"""Measurements beside training that show whether a method does what it claims. No weight depends on them."""

import torch
from torch import nn

from trainer.batches import Batches
from trainer.core.layers import split_at
from trainer.core.models import middle
from trainer.core.state import EpochRow, TrainState
from trainer.methods.base import Forgotten, Phase
from trainer.spec import TrainSpec

NOTHING_FORGOTTEN = 0.1
"""Forgetting that loses less than this share of the training accuracy above chance causes a warning."""


class Probe:
    """Measures the generation of `state`, and adds its measurements to the rows of the remaining epochs.

    `forgotten` is what the start of the generation has just done to the weights. It is None if nothing was forgotten,
    or if the generation is resumed after its first epoch. The training accuracy after forgetting is measured at
    construction.
    """

    def __init__(self, spec: TrainSpec, state: TrainState, batches: Batches, forgotten: Forgotten | None) -> None:
        self._spec, self._state, self._batches = spec, state, batches
        self._at_start = None if forgotten is None else (forgotten, self._train_accuracy())

    def after_epoch(self, row: EpochRow, phase: Phase) -> None:
        """Adds to `row` the measurements that are due at the end of its epoch, which belongs to `phase`.

        It must be called before `state` moves to the next epoch.
        """
        done, train = row.epoch + 1, self._spec.train
        ends_generation = done == train.epochs
        ends_forgetting = phase.forgets and done == phase.epochs.stop
        chance = 1 / self._batches.classes
        if self._at_start is not None:
            forgotten, accuracy = self._at_start
            note_forgetting(row, self._state, accuracy, chance, forgotten)
            self._at_start = None
        if ends_forgetting or ends_generation:
            accuracy = self._train_accuracy()
            if ends_forgetting:
                note_forgetting(row, self._state, accuracy, chance)
            if ends_generation:
                self._state.monitors["train_accuracy"] = row.metrics["train/accuracy_eval"] = accuracy
            row.metrics |= weight_norms(self._spec, self._state)
        if self._batches.has_test and (done % train.evaluate_every == 0 or ends_generation):
            row.metrics["test/accuracy"], row.metrics["test/loss"] = self._batches.evaluate(self._state.model, "test")

    def _train_accuracy(self) -> float:
        return self._batches.evaluate(self._state.model, "train")[0]


def ascent_dose(phase: Phase, lr: float, steps: int) -> float:
    """Returns the sum of lr x S over the ascent steps of one epoch (protocols 4.3), with the largest ascent scale S."""
    scales = [scale.lr for scale in phase.scales.values() if scale.lr < 0]
    return -min(scales, default=0.0) * lr * steps


def weight_norms(spec: TrainSpec, state: TrainState) -> dict[str, float]:
    """Returns the L2 norms of all early and of all late parameters.

    The cut is the method's own, or the middle of the model if the method has none. A generation that several methods
    share is always cut at the middle.
    """
    shared = spec.method.identity(state.generation) is None
    own = None if shared else spec.method.cut()
    threshold = middle(spec.model) if own is None else own
    parameters = dict(state.model.named_parameters())
    sides = zip(("early", "late"), split_at(list(parameters), threshold), strict=True)
    return {f"norm/{side}": _norm([parameters[name] for name in names]) for side, names in sides}


@torch.no_grad()
def _norm(parameters: list[nn.Parameter]) -> float:
    return (
        float(torch.stack([parameter.norm(dtype=torch.float64) for parameter in parameters]).norm())
        if parameters
        else 0.0
    )


def note_forgetting(
    row: EpochRow, state: TrainState, accuracy: float, chance: float, forgotten: Forgotten | None = None
) -> None:
    """Adds to `row` the training accuracies at the start of the generation and after forgetting.

    `accuracy` and `chance` are shares from 0 to 1. `forgotten` is what the generation's start did to the weights, and
    None at the end of a forgetting phase. If less than NOTHING_FORGOTTEN was lost, a warning is added.
    """
    before = state.monitors["train_accuracy_at_start"]
    dose = state.monitors.get("ascent_dose", 0.0) if forgotten is None else 0.0
    share = (before - accuracy) / (before - chance) if before > chance else 0.0
    row.metrics |= {
        "forgetting/train_accuracy_before": before,
        "forgetting/train_accuracy_after": accuracy,
        "forgetting/forgotten_share": share,
    }
    if forgotten is not None:
        total = sum(parameter.numel() for parameter in state.model.parameters())
        row.metrics["forgetting/redrawn_share"] = forgotten.redrawn / total
        row.metrics["forgetting/pruned_share"] = forgotten.pruned / total
    if dose:
        row.metrics["forgetting/ascent_dose"] = dose
    if share < NOTHING_FORGOTTEN:
        why = ""
        if forgotten is not None and not (forgotten.redrawn or forgotten.pruned):
            why = ": no weight was re-drawn or pruned"
        elif dose:
            why = f" at an ascent dose of {dose:.3g}; raise ascent_scale or ascent_epochs"
        row.warnings.append(
            f"no forgetting happened in generation {row.generation}: train accuracy {before:.1%} -> {accuracy:.1%}{why}"
        )
