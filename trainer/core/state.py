"""The whole state of one training run: nothing that shapes the next step lives anywhere else."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trainer.core.init import InitLaw


@dataclass
class EpochRow:
    """What one epoch measured. `metrics` are fractions, losses and rates; `warnings` are sentences for the researcher."""

    generation: int
    epoch: int
    phase: str
    metrics: dict[str, float]
    warnings: list[str] = field(default_factory=list)


@dataclass
class TrainState:
    """`generation` and `epoch` name the next epoch to train; `epoch == epochs per generation` is a finished generation."""

    model: nn.Module
    seed: int
    init_law: InitLaw = "he_normal_fan_in"
    """What the model was drawn from; part of its spec, so not saved."""
    origin: tuple[int, int] | None = None
    """Seed and generation that the network was drawn at; None where these are `seed` and 0."""
    generation: int = 0
    epoch: int = 0
    momentum: dict[str, Tensor] = field(default_factory=dict)
    """Momentum buffer by parameter name; empty when the next epoch starts under a fresh optimizer."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """What the method must remember: masks, weights to rewind to, counters. A method prefixes its keys with its name."""
    teacher: nn.Module | None = None
    """The network that this generation imitates, frozen and in eval mode; gone when the generation is finished."""
    monitors: dict[str, float] = field(default_factory=dict)
    """Numbers that later epochs compare with, such as the training accuracy before forgetting."""
    history: list[EpochRow] = field(default_factory=list)
    """The rows of the current generation."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype
