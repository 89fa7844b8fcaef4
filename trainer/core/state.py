"""The whole state of one training run: nothing that shapes the next step lives anywhere else."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.core.data import Dataset, Split


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
    generation: int = 0
    epoch: int = 0
    momentum: dict[str, Tensor] = field(default_factory=dict)
    """Momentum buffer by parameter name; empty when the next epoch starts under a fresh optimizer."""
    monitors: dict[str, float] = field(default_factory=dict)
    """Numbers that later epochs compare with, such as the training accuracy before forgetting."""
    history: list[EpochRow] = field(default_factory=list)
    """The rows of the current generation."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


@torch.no_grad()
def evaluate(model: nn.Module, dataset: Dataset, split: Split, batch_size: int = 512) -> tuple[float, float]:
    """Top-1 accuracy (0..1) and mean cross-entropy without smoothing, in eval mode; leaves the model in train mode."""
    model.eval()
    dtype = next(model.parameters()).dtype
    correct = torch.zeros((), dtype=torch.int64, device=split.labels_N.device)
    loss = torch.zeros((), dtype=torch.float64, device=split.labels_N.device)
    for start in range(0, len(split), batch_size):
        labels_B = split.labels_N[start : start + batch_size]
        logits_BC = model(dataset.floats(split.images_NCHW[start : start + batch_size], dtype))
        correct += (logits_BC.argmax(1) == labels_B).sum()
        loss += functional.cross_entropy(logits_BC, labels_B, reduction="sum")
    model.train()
    return correct.item() / len(split), loss.item() / len(split)
