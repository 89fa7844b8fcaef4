"""SA-GD: Cai, Improving Learning with Simulated Annealing Gradient Descent, 2021.

The details follow a secondary source (protocols 4.7).
"""

import math
from typing import Any, Literal

import torch
from pydantic import Field

from trainer.core.seeding import generator
from trainer.core.state import TrainState
from trainer.methods.base import Forgotten, Method, Step

_LOSS, _ASCENTS, _DOSE = "sa-gd/previous_loss", "sa-gd/ascents", "sa-gd/ascent_dose"


class AnnealedDescent(Method):
    """At every step the whole network descends with probability P, which falls with the change of the loss, or ascends.

    single: P = exp(-dE / (T0 lr ln(n+2))); double: P = exp(-(dE^(ln(n+2)^(-1/e)) / (T0 lr ln(n+2)))^(0.5772 ln(n+2))),
    where dE is the change of the batch loss since the previous step (its loss counts as 0 before the first), n the
    epoch of the generation and lr the scheduled rate. In an ascent the gradient is multiplied by -sigma; momentum and
    weight decay act as usual.
    """

    name: Literal["sa-gd"] = "sa-gd"
    annealing: Literal["single", "double"] = Field(
        "single", description="single for a fixed lr, double for a decaying one [secondary source]"
    )
    temperature: float = Field(15.0, gt=0, le=1e6, description="T0 [secondary source: about 15 to 19]")
    most_ascent: float = Field(0.33, ge=0, le=1, description="cap on the probability of an ascent [secondary source]")
    sigma: float = Field(1.0, gt=0, le=1000, description="scale of an ascent step [secondary source: 1 to 4]")

    def forget(self, state: TrainState) -> Forgotten | None:
        """Clears the counters, so that every generation starts like the first one."""
        for key in (_LOSS, _ASCENTS, _DOSE):
            state.memory.pop(key, None)
        return None

    def before_step(self, state: TrainState, step: Step) -> None:
        zero = torch.zeros((), dtype=torch.float64, device=state.device)
        before, ascents, dose = (state.memory.get(key, zero) for key in (_LOSS, _ASCENTS, _DOSE))
        loss = step.loss.double()
        ascent = (1 - self.descent_probability((loss - before).abs(), step.lr, state.epoch)).clamp(max=self.most_ascent)
        random = generator(state.seed, "anneal", state.generation, state.epoch, step.index)
        ascends = (torch.rand((), dtype=torch.float64, generator=random).to(state.device) < ascent).double()
        factor = 1 - (1 + self.sigma) * ascends
        for parameter in state.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        state.memory |= {_LOSS: loss, _ASCENTS: ascents + ascends, _DOSE: dose + self.sigma * step.lr * ascends}

    def descent_probability(self, change: torch.Tensor, lr: float, epoch: int) -> torch.Tensor:
        """Returns P for the change dE of the loss (a float64 scalar) in `epoch`, counted from 0."""
        log = math.log(epoch + 2)
        heat = self.temperature * lr * log
        if self.annealing == "single":
            return torch.exp(-change / heat)
        return torch.exp(-((change ** (log ** (-1 / math.e)) / heat) ** (0.5772 * log)))

    def measures(self, state: TrainState) -> dict[str, float]:
        return {
            "forgetting/ascent_steps": state.memory[_ASCENTS].item(),
            "forgetting/ascent_dose": state.memory[_DOSE].item(),
        }

    def identity(self, generation: int) -> dict[str, Any] | None:
        return self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [({"name": "sa-gd", "most_ascent": 0.0}, {"name": "normal"})]
