"""The partial spec: the valid parts of a spec, which may have invalid ones, as typed objects for the rules."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from evaluators import Evaluator
from orchestrator.spec import Committed, ReportTable, Resources, Search, Weights
from trainer.core.data import AnyData
from trainer.core.models import AnyModel
from trainer.methods import Method
from trainer.spec import TrainSettings

T = TypeVar("T", covariant=True)


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of a spec. The fields in `wrong` are invalid and have defaults; `value` is None if nothing is valid."""

    value: T | None
    wrong: frozenset[str] = frozenset()

    @property
    def whole(self) -> T | None:
        """The value if all its fields are valid, or None."""
        return None if self.wrong else self.value

    def field(self, name: str) -> Any:
        """Returns the value of a field, or None if it is invalid."""
        return None if self.value is None or name in self.wrong else getattr(self.value, name)


@dataclass(frozen=True)
class PartialFork:
    """A fork, with None for invalid fields. `outside` is true if it forks from an earlier experiment."""

    arm: str | None
    generation: int | None
    outside: bool


@dataclass(frozen=True)
class PartialArm:
    """An arm, with None for parts that are not given. `name` is the name as written, or None if it is not a string."""

    name: str | None
    method: Part[Method] | None
    checkpoint: Part[Committed | Weights] | None
    fork: PartialFork | None
    data: Part[AnyData] | None
    model: Part[AnyModel] | None
    train: Part[TrainSettings] | None


@dataclass(frozen=True)
class PartialEvaluation:
    """An evaluation, with None for each invalid item of its lists.

    `name` is the name of the evaluator as written. `arms` is None if the evaluation is for all arms.
    """

    name: str | None
    evaluator: Part[Evaluator]
    on: tuple[int | str | None, ...]
    arms: tuple[str | None, ...] | None


@dataclass(frozen=True)
class PartialTable:
    """A table of the report. `name` is its name as written."""

    name: str | None
    table: Part[ReportTable]


@dataclass(frozen=True)
class PartialSpec:
    """A spec, with None for each invalid item of its lists, so that indices are the same as in the document."""

    data: Part[AnyData]
    model: Part[AnyModel]
    train: Part[TrainSettings]
    arms: tuple[PartialArm | None, ...]
    seeds: tuple[int | None, ...]
    evaluations: tuple[PartialEvaluation | None, ...]
    tables: tuple[PartialTable | None, ...]
    resources: Part[Resources]
    search: Part[Search] | None

    @cached_property
    def by_name(self) -> dict[str, PartialArm]:
        """Maps the names of arms to the arms; arms without a name are left out."""
        return {arm.name: arm for arm in self.arms if arm is not None and arm.name is not None}

    def data_of(self, arm: PartialArm) -> Part[AnyData]:
        """Returns the data that `arm` is trained on."""
        return arm.data or self.data

    def model_of(self, arm: PartialArm) -> Part[AnyModel]:
        """Returns the network of `arm`."""
        return arm.model or self.model

    def train_of(self, arm: PartialArm) -> Part[TrainSettings]:
        """Returns the training settings of `arm`."""
        return arm.train or self.train
