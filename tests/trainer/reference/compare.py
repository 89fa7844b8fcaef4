"""The settings for which the trainer is compared with the plain loop, and the size of their differences."""

from dataclasses import dataclass
from typing import Any

from tests.trainer.builders import label, run, small_spec
from tests.trainer.reference.loop import Outcome


@dataclass(frozen=True)
class Error:
    """The largest differences between the trainer and the plain loop.

    `loss` is relative to each loss, and `weight` is relative to the largest element of each tensor.
    """

    loss: float
    weight: float


def trained(method: dict[str, Any], train: dict[str, Any]) -> Outcome:
    """Returns the losses and final weights of the trainer."""
    losses: list[float] = []
    state, _ = run(small_spec(method, **train), observer=lambda step: losses.append(step.loss.item()))
    return Outcome(losses, state.model.state_dict())


def error(outcome: Outcome, reference: Outcome) -> Error:
    """Returns the differences of `outcome` from `reference`."""
    assert len(outcome.losses) == len(reference.losses) > 0
    assert outcome.final.keys() == reference.final.keys()
    losses = (abs(a - b) / abs(b) for a, b in zip(outcome.losses, reference.losses, strict=True))
    weights = (float((outcome.final[name] - b).abs().max() / b.abs().max()) for name, b in reference.final.items())
    return Error(max(losses), max(weights))


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "normal"}, {}),
    ({"name": "normal"}, {"schedule": {"scope": "run"}}),
    ({"name": "normal"}, {"schedule": {"scope": "run", "warmup_epochs": 5}, "reset_momentum_at": []}),
    ({"name": "normal"}, {"schedule": {"shape": "step", "milestones": [1, 3], "decay": 0.3}}),
    ({"name": "normal"}, {"schedule": {"shape": "step", "milestones": [3, 9], "scope": "run"}}),
    ({"name": "normal"}, {"schedule": {"shape": "constant"}, "reset_momentum_at": ["switch"]}),
    ({"name": "normal"}, {"recipe": "official-code", "lr": None, "epochs": 20, "generations": 2}),
    ({"name": "llf"}, {}),
    ({"name": "llf"}, {"recipe": "official-code", "schedule": {"warmup_epochs": 1}}),
    ({"name": "llf", "redraw_law": "same_as_init", "layer_threshold": "layer4"}, {}),
    ({"name": "llf", "redraw_bias": True, "redraw_bn": True, "reset_statistics": True}, {}),
    ({"name": "seal", "ascent_scale": 0.5}, {}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_weight_decay": "zero", "ascent_fraction": 0.5}, {}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_weight_decay": "keep", "ascent_fraction": 0.5}, {}),
    ({"name": "seal", "ascent_scale": 0.5}, {"epochs": 5}),
    (
        {"name": "seal", "ascent_scale": 0.1, "ascent_epochs": 2},
        {"recipe": "official-code", "schedule": {"warmup_epochs": 1}},
    ),
    (
        {"name": "seal", "ascent_scale": 0.1, "ascent_fraction": 0.25},
        {"recipe": "official-code", "epochs": 6, "schedule": {"warmup_epochs": 3}},
    ),
    ({"name": "seal", "ascent_scale": 0.5, "layer_threshold": 8, "ascent_epochs": 2}, {"reset_momentum_at": []}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 2}, {"reset_momentum_at": ["generation"]}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 4}, {"schedule": {"scope": "run"}}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 2, "variant": "freeze"}, {}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 2, "variant": "freeze"}, {"reset_momentum_at": []}),
    ({"name": "seal", "ascent_scale": 0.5, "variant": "reinit"}, {}),
    ({"name": "seal", "ascent_scale": 0.1, "variant": "reverse"}, {}),
    ({"name": "seal", "ascent_scale": 0.1, "variant": "reverse", "reverse_output_layer": False}, {}),
    ({"name": "ke"}, {}),
    ({"name": "ke", "split": "kels", "split_rate": 0.8}, {}),
    ({"name": "ke", "split": "wels", "split_rate": 0.8}, {}),
    ({"name": "ke", "split": "wels", "redraw_mask": True}, {}),
    ({"name": "imp"}, {}),
    ({"name": "imp", "ranking": "global", "rate": 0.5}, {}),
    ({"name": "imp", "rewind_epoch": 2, "output_rate": 0.3}, {"reset_momentum_at": []}),
    ({"name": "sa-gd", "temperature": 1.0}, {}),
    ({"name": "sa-gd", "temperature": 2.0, "annealing": "double", "sigma": 0.5, "most_ascent": 0.6}, {}),
    ({"name": "born-again"}, {}),
    ({"name": "born-again", "label_weight": 0.0}, {}),
    ({"name": "tolerant-teacher"}, {}),
    ({"name": "tolerant-teacher", "patriarch_label_weight": 0.3, "similar_classes": 3, "label_weight": 0.2}, {}),
    ({"name": "self-distillation"}, {}),
    ({"name": "self-distillation", "teacher_weight": 0.9, "temperature": 2.0}, {}),
]


def case_label(case: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """Returns the settings of a case on one line."""
    method, train = case
    return " ".join([label(method), *(f"{key}={value}" for key, value in train.items())])
