"""A search over the settings of one arm's method: the settings that are tried, the objective and early stopping.

When a spec is posted, its trials are drawn and added as ordinary arms (`orchestrator.intake.search`). While they run,
successive halving decides which of them are trained further (`orchestrator.plan.halving`).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from evaluators import EvaluatorSpec
from orchestrator.spec.base import SpecModel

MAX_TRIALS = 1000
"""The greatest number of trials of a search."""

Interval = Annotated[tuple[Annotated[float, Field(ge=-1e300, le=1e300)], ...], Field(min_length=2, max_length=2)]
WholeInterval = Annotated[tuple[Annotated[int, Field(ge=-(2**53), le=2**53)], ...], Field(min_length=2, max_length=2)]
Value = str | int | float | bool | None
Values = Annotated[tuple[Value, ...], Field(min_length=1, max_length=1000)]


class Distribution(SpecModel):
    """The distribution of the values of a setting: exactly one of these fields."""

    uniform: Interval | None = Field(None, description="[low, high]: every number between them is equally likely")
    log_uniform: Interval | None = Field(
        None, description="[low, high], both > 0: every order of magnitude is equally likely"
    )
    int: WholeInterval | None = Field(
        None, description="[low, high]: every whole number is equally likely, including both ends"
    )
    choice: Values | None = Field(None, description="every listed value is equally likely")

    @model_validator(mode="after")
    def _one_that_can_be_drawn(self) -> "Distribution":
        given = self.model_fields_set - {name for name in self.model_fields_set if getattr(self, name) is None}
        if len(given) != 1:
            raise PydanticCustomError("value_error", "give one of uniform, log_uniform, int and choice")
        interval = self.uniform or self.log_uniform or self.int
        if interval is not None and not interval[0] < interval[1]:
            raise PydanticCustomError("value_error", "the low end must be below the high one")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise PydanticCustomError("value_error", "log_uniform needs a low end > 0: use uniform")
        return self

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The ends of an interval or the whole list: if these values are valid, every drawn value is."""
        return self.choice or self.uniform or self.log_uniform or self.int or ()


@dataclass(frozen=True)
class Ladder:
    """The rungs of successive halving.

    `rungs` are generations in ascending order, and a trial is complete at the last one. One trial in `reduction` is
    promoted from a rung, and in the end at least `keep`.
    """

    rungs: tuple[int, ...]
    reduction: int
    keep: int


def ladder(generations: int, min_generations: int | None, reduction: int, keep: int) -> Ladder:
    """Returns rungs at the generations m, m r, m r^2, ... and the last one, for m `min_generations` and r `reduction`.

    If `min_generations` is None, the last generation is the only rung and no trial is stopped. Generation 0 is a
    rung only if it is the last, because it is ordinary training and equal for all trials.
    """
    last = generations - 1
    rungs: list[int] = []
    while min_generations is not None and (rung := min_generations * reduction ** len(rungs)) < last:
        rungs.append(rung)
    return Ladder((*rungs, last), reduction, keep)


class Objective(SpecModel):
    """The score that ranks the trials, as the mean over the seeds after every generation."""

    evaluator: EvaluatorSpec
    metric: str = Field(min_length=1, max_length=200, description="name of the score, such as top1 or 5shot/acc")
    mode: Literal["max", "min"] = "max"
    on: Literal["heldout", "test"] = Field(
        "heldout",
        description="images of the objective: training images that are held out of training, or the test images",
    )


class EarlyStop(SpecModel):
    """Successive halving by generations: rungs are at m, m r, m r^2, ..., and the best 1/r of a rung are promoted."""

    min_generations: int = Field(
        1, ge=1, le=1000, description="m: generations after the first before a trial may be stopped"
    )
    reduction: int = Field(3, ge=2, le=1000, description="r: one trial in r is promoted from a rung")


class Search(SpecModel):
    """A search over settings of the method of `arm`, which is the template of the trials and is not trained itself."""

    arm: str = Field(description="name of the arm whose method is tuned; its trials, NAME-t00 and so on, replace it")
    space: Annotated[dict[str, Distribution], Field(min_length=1, max_length=50)] = Field(
        description="by field of the method: the distribution of its values"
    )
    trials: int = Field(ge=1, le=MAX_TRIALS, description="how many settings are drawn")
    seed: int = Field(
        0,
        ge=0,
        le=2**31,
        description="seed of the drawn settings; a search with more trials and the same seed draws the same first ones",
    )
    objective: Objective
    holdout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of each class's training images that trials do not train on and on which they are evaluated",
    )
    early_stop: EarlyStop | None = Field(EarlyStop(), description="null: every trial is trained to its last generation")
    keep: int = Field(
        3,
        ge=1,
        le=MAX_TRIALS,
        description="how many of the best trials are trained to the end and evaluated by `evaluations`",
    )
    arms: Annotated[tuple[str, ...], Field(max_length=MAX_TRIALS)] = Field(
        (), description="names of the trials; filled in when the spec is posted, which then lists them among its arms"
    )

    def ladder(self, generations: int) -> Ladder:
        """Returns the rungs of a run of `generations` generations."""
        if self.early_stop is None:
            return ladder(generations, None, 2, self.keep)
        return ladder(generations, self.early_stop.min_generations, self.early_stop.reduction, self.keep)

    @property
    def sign(self) -> float:
        """The factor, 1 or -1, after which a greater score is better."""
        return 1.0 if self.objective.mode == "max" else -1.0
