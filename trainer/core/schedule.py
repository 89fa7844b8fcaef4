"""The learning rate as a pure function of generation and epoch; nothing is stepped, so nothing needs restoring.

SEAL paper section 4.1 (cosine, restarted every generation); the released code adds a linear warm-up of 20 epochs.
"""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """Set once per epoch; `scope` says whether epoch counts from the generation's start or the run's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    shape: Literal["cosine", "constant"] = Field("cosine", description="cosine decays to 0 at the end of its scope")
    warmup_epochs: int = Field(0, ge=0, le=100_000, description="epochs of linear warm-up at the start of the scope")
    scope: Literal["generation", "run"] = Field(
        "generation", description="generation restarts the schedule every generation; run stretches one over all"
    )

    def factor(self, generation: int, epoch: int, epochs: int, generations: int) -> float:
        """What to multiply the base learning rate with in `epoch` of `generation` (both from 0)."""
        if self.scope == "run":
            epoch, epochs = generation * epochs + epoch, generations * epochs
        if epoch < self.warmup_epochs:
            return (epoch + 1) / self.warmup_epochs
        if self.shape == "constant":
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (epoch - self.warmup_epochs) / (epochs - self.warmup_epochs)))
