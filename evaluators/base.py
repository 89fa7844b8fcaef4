"""The base of all evaluators: a frozen spec with one method, `run(model, source, target, context) -> EvalResult`.

An evaluator turns a frozen network into numbers. It never sees an optimizer of the backbone, a method, a path, Ray or
MLflow. Its random draws are addressed by its own `seed` (trainer.core.seeding), so every checkpoint is evaluated on the
same episodes and batches.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from torch import nn

from evaluators.features.bank import Bank
from evaluators.metrics import Metric, declared, guessed
from evaluators.progress import Progress, silent
from trainer.core import data
from trainer.core.data import AnyData, Dataset
from trainer.core.models import AnyModel

T = TypeVar("T")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Returns `values` unchanged. Raises ValueError if one is listed twice, because its scores would share a name."""
    seen = set()
    for value in values:
        if value in seen:
            raise PydanticCustomError("duplicate", "{value} is listed twice: keep it once", {"value": repr(value)})
        seen.add(value)
    return values


class Score(BaseModel):
    """One number, the number `n` of things that it averages and, if it is stochastic, its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    n: int
    low: float | None = None
    high: float | None = None


class EvalResult(BaseModel):
    """The result of one run.

    `scores` are by metric name (flat, such as `5shot/acc`), and `curves` are the series behind them, for figures.
    `digests` are the sha256 of what was drawn, such as episodes, so that scores can be paired. `notes` are what a
    reader must know before trusting a score, such as a selection on test images or values that did not converge.
    """

    model_config = ConfigDict(frozen=True)

    scores: dict[str, Score]
    curves: dict[str, list[float]] = {}
    digests: dict[str, str] = {}
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a run may use besides its inputs. Nothing in it influences a score."""

    bank: Bank = field(default_factory=Bank)
    progress: Progress = silent


CONTEXT = Context()
"""The default context, which keeps no outputs and reports no progress."""


class ModelProblem(NamedTuple):
    """A setting that does not fit a network.

    `field` is its path (such as `layers/0`), `message` a sentence, and `suggestion` the value that was probably meant.
    """

    field: str
    message: str
    suggestion: str | None = None


class Caveat(NamedTuple):
    """A warning to read before a plan is started: a stable code in capitals (`TEST_SELECTED`) and a sentence."""

    code: str
    message: str


class Evaluator(BaseModel, ABC):
    """Base of all evaluators, with everything that an evaluator may declare.

    Code outside this package uses the declarations and never branches on an evaluator's class or name. `version` is
    part of the content key, and is increased by hand when the meaning of a score changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: ClassVar[int] = 1
    needs_test_split: ClassVar[bool] = True
    """Whether `run` needs a target that has a test split of its own."""
    reads_source: ClassVar[bool] = True
    """Whether `run` reads the images of `source`, so that its time depends on them."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """All scores that `run` may return. If several declarations fit a score's name, the first is used."""

    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Raises TypeError if `metrics` has a wrong type, so that the evaluator's package is refused with a reason."""
        super().__pydantic_init_subclass__(**options)
        if "metrics" in cls.model_fields or not all(isinstance(each, Metric) for each in cls.metrics):
            raise TypeError(f"{cls.__name__}.metrics must be a ClassVar with a tuple of evaluators.metrics.Metric")

    @classmethod
    def about(cls, score: str) -> Metric:
        """Returns the declaration of the score named `score`.

        If `metrics` is not empty, a score without a declaration has no unit and no better direction, and is no
        headline. If `metrics` is empty, every score is a headline, and its unit and better direction are guessed from
        its name (evaluators.metrics.guessed).
        """
        return declared(cls.metrics, score) or (Metric(score) if cls.metrics else guessed(score))

    @classmethod
    def score_names(cls) -> list[str]:
        """Returns the names that a search may use as its objective, or an empty list if it may use any name.

        The names are known if `metrics` declares scores and no declared name is a pattern.
        """
        return [] if any(metric.is_pattern for metric in cls.metrics) else [metric.name for metric in cls.metrics]

    def for_model(self, model: AnyModel) -> Self:
        """Returns the evaluator with the settings filled in that were left open and depend on the network.

        The content key is computed from the result.
        """
        return self

    def runs(self, source: AnyData) -> list[tuple[Self, AnyData]]:
        """Returns the evaluator and the target of each run, for a network that was trained on `source`."""
        return [(self, source)]

    def model_problems(self, model: AnyModel) -> list[ModelProblem]:
        """Returns the settings that do not fit `model`, such as layers that it lacks.

        They are checked before anything is trained.
        """
        return []

    def caveats(self) -> list[Caveat]:
        """Returns warnings about the scores to read before a plan is started, such as a selection on test images."""
        return []

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """Returns (field, message) pairs for what prevents this evaluator from using `target`, without reading pixels.

        If `target` is None, it is not known yet, and only the evaluator's own settings are checked.
        """
        if target is None or not self.needs_test_split or target.test_size():
            return []
        field = "targets" if isinstance(self, TransferEvaluator) else "name"
        return [(field, f"{target.label!r} has no test split of its own, which {self.name} needs")]

    def unfit(self, model: AnyModel, target: AnyData) -> list[tuple[str, str]]:
        """Returns (field, message) pairs for what prevents this evaluator from using `target` on `model`.

        Pixels are not read. What the network or the target alone contradicts is in `model_problems` and `problems`.
        """
        return []

    @abstractmethod
    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Evaluates `model`, which is in eval mode and was trained on `source`, on `target`.

        `target` is `source` itself unless this is a TransferEvaluator. Images may be on another device than the model;
        batches are moved.
        """


class TransferEvaluator(Evaluator):
    """Base of the evaluators that use other data than the network was trained on. They run once per target."""

    reads_source: ClassVar[bool] = False

    targets: Annotated[
        tuple[str, ...],
        # not strict, because JSON has lists and no tuples
        Field(min_length=1, max_length=64, strict=False, description="names of the data sets to transfer to"),
        AfterValidator(distinct),
    ]

    def runs(self, source: AnyData) -> list[tuple[Self, AnyData]]:
        """Returns a run for each target."""
        targets = [data.named(name) for name in self.targets]
        return [(self.model_copy(update={"targets": (target.text(),)}), target) for target in targets]
