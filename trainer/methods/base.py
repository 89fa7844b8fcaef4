"""What a method may declare; the loop asks and never branches on a method's name.

A method holds hyper-parameters only. What happens at a generation's start is `forget`, what happens in its epochs is `phases`,
and which parameters a phase treats differently is `groups`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from trainer.core.state import TrainState


@dataclass(frozen=True)
class Scale:
    """Multipliers on a group's learning rate and weight decay; a negative learning rate ascends the loss."""

    lr: float = 1.0
    weight_decay: float = 1.0


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs of a generation under one fresh optimizer; groups that `scales` does not name are unscaled."""

    name: str
    epochs: range
    scales: Mapping[str, Scale] = field(default_factory=dict)
    forgets: bool = False


class Method(BaseModel):
    """Base of all methods, and itself ordinary training: nothing is forgotten and one phase holds all epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def as_released(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The settings `given`, the rest as in the authors' released code where it differs from the paper."""
        return given

    def forget(self, state: TrainState) -> int:
        """Forgets at the start of every generation >= 1; returns how many scalars of the network it changed."""
        return 0

    def phases(self, generation: int, epochs: int) -> list[Phase]:
        """The phases of `generation`, which together cover `range(epochs)` in order."""
        return [Phase("learning", range(epochs))]

    def groups(self, parameter_names: list[str]) -> dict[str, list[str]]:
        """Optimizer groups: every name in exactly one. Names come in registration order."""
        return {"all": parameter_names}

    def identity(self, generation: int) -> dict[str, Any] | None:
        """The settings that shape `generation`, for its content key; None where it is ordinary training."""
        return None if generation == 0 else self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        """Settings that contradict the recipe or the model: (field, message) pairs. `epochs` is None where it is not known."""
        return []

    name: str
