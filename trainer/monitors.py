"""What tells a researcher whether a method did what it claims, computed from the state alone."""

import torch
from torch import nn

from trainer.core.layers import split_at
from trainer.core.models import middle
from trainer.core.state import EpochRow, TrainState
from trainer.methods.base import Forgotten, LayeredMethod, Phase
from trainer.spec import TrainSpec

NOTHING_FORGOTTEN = 0.1
"""A forgetting phase that loses less than this share of the accuracy above chance forgot nothing worth the name."""


def ascent_dose(phase: Phase, lr: float, steps: int) -> float:
    """Sum of lr x S over the ascent steps of one epoch (protocols 4.3): how far the phase was pushed uphill."""
    scales = [scale.lr for scale in phase.scales.values() if scale.lr < 0]
    return -min(scales, default=0.0) * lr * steps


def weight_norms(spec: TrainSpec, state: TrainState) -> dict[str, float]:
    """L2 norms of all early and all late parameters, cut where the method cuts, else at the model's middle.

    A generation that methods share is cut at the middle for all of them.
    """
    method = spec.method
    own = isinstance(method, LayeredMethod) and method.identity(state.generation) is not None
    threshold = method.layer_threshold if own and isinstance(method, LayeredMethod) else middle(spec.model)
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
    """Adds to `row` the training accuracy after forgetting, beside that of the generation's start, and warns if it stayed.

    `forgotten` is what the generation's start did to the weights; None at the end of a forgetting phase.
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
