"""What tells a researcher whether a method did what it claims, computed from the state alone."""

from trainer.core.state import EpochRow, TrainState
from trainer.methods import Phase

NOTHING_FORGOTTEN = 0.1
"""A forgetting phase that loses less than this share of the accuracy above chance forgot nothing worth the name."""


def ascent_dose(phase: Phase, lr: float, steps: int) -> float:
    """Sum of lr x S over the ascent steps of one epoch (protocols 4.3): how far the phase was pushed uphill."""
    scales = [scale.lr for scale in phase.scales.values() if scale.lr < 0]
    return -min(scales, default=0.0) * lr * steps


def note_forgetting(row: EpochRow, state: TrainState, accuracy: float, chance: float) -> None:
    """Adds to `row` the training accuracy after forgetting, beside that of the generation's start, and warns if it stayed."""
    before = state.monitors["train_accuracy_at_start"]
    dose = state.monitors.get("ascent_dose", 0.0)
    forgotten = (before - accuracy) / (before - chance) if before > chance else 0.0
    row.metrics |= {
        "forgetting/train_accuracy_before": before,
        "forgetting/train_accuracy_after": accuracy,
        "forgetting/forgotten_share": forgotten,
    }
    if dose:
        row.metrics["forgetting/ascent_dose"] = dose
    if forgotten < NOTHING_FORGOTTEN:
        row.warnings.append(
            f"no forgetting happened in generation {row.generation}: train accuracy {before:.1%} -> {accuracy:.1%}"
            + (f" at an ascent dose of {dose:.3g}; raise ascent_scale or ascent_epochs" if dose else "")
        )
