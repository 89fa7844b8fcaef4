"""The complete state of one training run. Nothing outside it influences the next step."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trainer.core.init import InitLaw


@dataclass
class EpochRow:
    """The measurements of one epoch.

    `metrics` are fractions (0 to 1), losses and learning rates by name. `warnings` are sentences for the researcher.
    """

    generation: int
    epoch: int
    phase: str
    metrics: dict[str, float]
    warnings: list[str] = field(default_factory=list)


@dataclass
class TrainState:
    """The state between two epochs.

    `generation` and `epoch`, counted from 0, name the next epoch to train. A generation is finished when `epoch` equals
    the number of epochs per generation.
    """

    model: nn.Module
    seed: int
    init_law: InitLaw = "he_normal_fan_in"
    """The law that the model was initialised from. It follows from the spec and is not saved."""
    origin: tuple[int, int] | None = None
    """The seed and generation that the network was initialised at. None stands for `seed` and generation 0."""
    generation: int = 0
    epoch: int = 0
    momentum: dict[str, Tensor] = field(default_factory=dict)
    """The momentum buffers by parameter name, empty if the next epoch starts under a fresh optimizer."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that the method must remember, such as masks, weights to rewind to and counters. A method prefixes its
    keys with its name."""
    teacher: nn.Module | None = None
    """The network that this generation imitates, frozen and in eval mode, removed at the end of the generation."""
    monitors: dict[str, float] = field(default_factory=dict)
    """Numbers that later epochs are compared with, such as the training accuracy before forgetting."""
    history: list[EpochRow] = field(default_factory=list)
    """The rows of the current generation."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype
