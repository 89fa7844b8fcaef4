"""The learning rate as a pure function of generation and epoch, so that a checkpoint needs no scheduler state.

SEAL uses a cosine that restarts every generation (paper section 4.1). Its released code adds a linear warm-up of 20
epochs. The public CIFAR recipe uses steps (protocols 5).
"""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """Set once per epoch; `scope` says whether epoch counts from the generation's start or the run's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    shape: Literal["cosine", "step", "constant"] = Field(
        "cosine", description="cosine decays to 0 at the end of its scope"
    )
    warmup_epochs: int = Field(0, ge=0, le=100_000, description="epochs of linear warm-up at the start of the scope")
    scope: Literal["generation", "run"] = Field(
        "generation", description="generation restarts the schedule every generation; run stretches one over all"
    )
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        max_length=100,
        description="step: epochs of the scope from which on the rate is multiplied with decay once more",
    )
    decay: float = Field(0.1, gt=0, lt=1, description="step: what each milestone multiplies the rate with")

    def factor(self, generation: int, epoch: int, epochs: int, generations: int) -> float:
        """Returns the multiplier of the base learning rate in `epoch` of `generation`, both counted from 0."""
        if self.scope == "run":
            epoch, epochs = generation * epochs + epoch, generations * epochs
        if epoch < self.warmup_epochs:
            return (epoch + 1) / self.warmup_epochs
        match self.shape:
            case "constant":
                return 1.0
            case "step":
                return self.decay ** sum(epoch >= milestone for milestone in self.milestones)
            case "cosine":
                return 0.5 * (1.0 + math.cos(math.pi * (epoch - self.warmup_epochs) / (epochs - self.warmup_epochs)))

    def problems(self, scope: int) -> list[tuple[str, str]]:
        """Returns (field, message) pairs for settings that do not fit into a scope of `scope` epochs."""
        found = []
        if self.warmup_epochs > scope:
            message = f"{self.warmup_epochs} warm-up epochs do not fit into the schedule's {scope}: use at most {scope}"
            found.append(("warmup_epochs", message))
        if self.shape == "step" and not self.milestones:
            found.append(("milestones", "a step schedule needs the epochs of its steps, for example [81, 122]"))
        if self.shape != "step" and self.milestones:
            found.append(
                ("milestones", f"a {self.shape} schedule has no steps: use shape step, or leave milestones out")
            )
        if late := [milestone for milestone in self.milestones if milestone >= scope]:
            found.append(("milestones", f"epoch {late[0]} is never reached in the schedule's {scope} epochs"))
        return found
