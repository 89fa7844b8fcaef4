"""What every evaluator is: a frozen spec with one verb, `run(model, source, target, context) -> EvalResult`.

A frozen network in, numbers out. An evaluator never sees an optimizer of the backbone, a method, a path, Ray or
MLflow. Its random draws are addressed by its own `seed` (trainer.core.seeding), so every checkpoint is judged on
the same episodes and batches.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from torch import nn

from evaluators.features.bank import Bank
from evaluators.progress import Progress, silent
from trainer.core.data import AnyData, Dataset

T = TypeVar("T")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """`values` as they are. Raises ValueError where one is listed twice: its scores would share a name."""
    seen = set()
    for value in values:
        if value in seen:
            raise PydanticCustomError("duplicate", "{value} is listed twice: keep it once", {"value": repr(value)})
        seen.add(value)
    return values


class Score(BaseModel):
    """One number with the number of things it averages and, where it is stochastic, its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    n: int
    low: float | None = None
    high: float | None = None


class EvalResult(BaseModel):
    """`scores` by metric name (flat, e.g. `5shot/acc`) and `curves`: the series behind them, for figures.

    `digests` name by sha256 what was drawn (such as episodes), so that scores can be paired; `notes` say what a reader
    must know before trusting a score, such as a selection on test images or values that did not converge.
    """

    model_config = ConfigDict(frozen=True)

    scores: dict[str, Score]
    curves: dict[str, list[float]] = {}
    digests: dict[str, str] = {}
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a run may use besides its inputs. Nothing here decides a score."""

    bank: Bank = field(default_factory=Bank)
    progress: Progress = silent


CONTEXT = Context()
"""Keeps nothing and tells nobody."""


class Evaluator(BaseModel, ABC):
    """Base of all evaluators. `version` is raised by hand when the meaning of a score changes; it is part of the
    content key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: ClassVar[int] = 1
    needs_test_split: ClassVar[bool] = True

    name: str

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """What makes `target` unable to feed this evaluator: (field, message) pairs, read before any pixel is.

        None is a target that is not known yet; then only the evaluator's own settings can contradict each other.
        """
        if target is None or not self.needs_test_split or target.test_size():
            return []
        field = "targets" if isinstance(self, TransferEvaluator) else "name"
        return [(field, f"{target.label!r} has no test split of its own, which {self.name} judges on")]

    @abstractmethod
    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Judges `model` (already in eval mode) trained on `source`, on `target` (`source` itself unless it
        is a TransferEvaluator). Images may lie on another device than the model: batches are moved."""


class TransferEvaluator(Evaluator):
    """Base of the evaluators that judge on other data than the network was trained on, once per target."""

    targets: Annotated[
        tuple[str, ...],
        # not strict, because JSON has no tuples
        Field(min_length=1, max_length=64, strict=False, description="names of the data sets to transfer to"),
        AfterValidator(distinct),
    ]
