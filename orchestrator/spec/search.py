"""What a search asks: the settings of one arm's method that are tried, the objective, and when a trial is given up.

When a spec is posted its trials are drawn and written out as ordinary arms (`intake.search`); which of them are trained on is
decided while they run (`plan.halving`).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from evaluators import EvaluatorSpec
from orchestrator.spec.base import SpecModel

MAX_TRIALS = 1000

Interval = Annotated[tuple[Annotated[float, Field(ge=-1e300, le=1e300)], ...], Field(min_length=2, max_length=2)]
WholeInterval = Annotated[tuple[Annotated[int, Field(ge=-(2**53), le=2**53)], ...], Field(min_length=2, max_length=2)]
Value = str | int | float | bool | None
Values = Annotated[tuple[Value, ...], Field(min_length=1, max_length=1000)]


class Distribution(SpecModel):
    """Where the values of a setting are drawn from: exactly one of these."""

    uniform: Interval | None = Field(None, description="[low, high]: every number between them alike")
    log_uniform: Interval | None = Field(None, description="[low, high], both > 0: every order of magnitude alike")
    int: WholeInterval | None = Field(None, description="[low, high]: every whole number alike, both ends too")
    choice: Values | None = Field(None, description="every listed value alike")

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
        """Values of which all are possible if each drawn one is: the ends of an interval, or the whole list."""
        return self.choice or self.uniform or self.log_uniform or self.int or ()


@dataclass(frozen=True)
class Ladder:
    """`rungs` are generations, ascending; the last is where a trial is complete."""

    rungs: tuple[int, ...]
    reduction: int
    keep: int


def ladder(generations: int, min_generations: int | None, reduction: int, keep: int) -> Ladder:
    """Rungs at generation m, m r, m r^2, ... and the last one; nobody is stopped where `min_generations` is None.

    Generation 0 is no rung: it is ordinary training, the same for all.
    """
    last = generations - 1
    rungs: list[int] = []
    while min_generations is not None and (rung := min_generations * reduction ** len(rungs)) < last:
        rungs.append(rung)
    return Ladder((*rungs, last), reduction, keep)


class Objective(SpecModel):
    """The score that says which trial is better: after every generation, the mean over the seeds."""

    evaluator: EvaluatorSpec
    metric: str = Field(min_length=1, max_length=200, description="name of the score, such as top1 or 5shot/acc")
    mode: Literal["max", "min"] = "max"
    on: Literal["heldout", "test"] = Field(
        "heldout",
        description="what is judged: training images held out of training, or, by this name alone, the test images",
    )


class EarlyStop(SpecModel):
    """Successive halving by generations: rungs are at m, m r, m r^2, ..., and of each the best 1/r go on."""

    min_generations: int = Field(
        1, ge=1, le=1000, description="m: generations after the first before a trial may be stopped"
    )
    reduction: int = Field(3, ge=2, le=1000, description="r: one trial in so many goes on from a rung")


class Search(SpecModel):
    """A search over settings of the method of `arm`, which is the pattern of the trials and no arm itself."""

    arm: str = Field(
        description="name of the arm whose method is tuned; in its place come its trials, NAME-t00 and so on"
    )
    space: Annotated[dict[str, Distribution], Field(min_length=1, max_length=50)] = Field(
        description="by field of the method: where its values are drawn from"
    )
    trials: int = Field(ge=1, le=MAX_TRIALS, description="how many settings are drawn")
    seed: int = Field(
        0, ge=0, le=2**31, description="draws the settings; more trials with the same seed begin with the same ones"
    )
    objective: Objective
    holdout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of each class's training images that trials do not train on but are judged on",
    )
    early_stop: EarlyStop | None = Field(EarlyStop(), description="null: every trial is trained to its last generation")
    keep: int = Field(
        3, ge=1, le=MAX_TRIALS, description="how many of the best are trained to the end and judged by `evaluations`"
    )
    arms: Annotated[tuple[str, ...], Field(max_length=MAX_TRIALS)] = Field(
        (), description="names of the trials; filled in when the spec is posted, which then lists them among its arms"
    )

    def ladder(self, generations: int) -> Ladder:
        """The rungs in a run of so many generations."""
        if self.early_stop is None:
            return ladder(generations, None, 2, self.keep)
        return ladder(generations, self.early_stop.min_generations, self.early_stop.reduction, self.keep)

    @property
    def sign(self) -> float:
        """What makes a score one of which more is better."""
        return 1.0 if self.objective.mode == "max" else -1.0
