"""A spec without what is wrong in it by itself: typed parts for the rules, which skip what could not be read."""

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
    """A part with its defaults where fields are `wrong`; `value` is None where nothing is left to read."""

    value: T | None
    wrong: frozenset[str] = frozenset()

    @property
    def whole(self) -> T | None:
        """The part, if nothing in it is wrong."""
        return None if self.wrong else self.value

    def field(self, name: str) -> Any:
        """The value of a field; None where it could not be read."""
        return None if self.value is None or name in self.wrong else getattr(self.value, name)


@dataclass(frozen=True)
class PartialFork:
    """A fork field by field; `outside` says that it goes on from an earlier experiment."""

    arm: str | None
    generation: int | None
    outside: bool


@dataclass(frozen=True)
class PartialArm:
    """An arm; parts are None where they are not given. `name` is as it was written, if it is a text."""

    name: str | None
    method: Part[Method] | None
    checkpoint: Part[Committed | Weights] | None
    fork: PartialFork | None
    data: Part[AnyData] | None
    model: Part[AnyModel] | None
    train: Part[TrainSettings] | None


@dataclass(frozen=True)
class PartialEvaluation:
    """An evaluation with None for each wrong item of its lists; `arms` None means all, `name` is the evaluator's as written."""

    name: str | None
    evaluator: Part[Evaluator]
    on: tuple[int | str | None, ...]
    arms: tuple[str | None, ...] | None


@dataclass(frozen=True)
class PartialTable:
    """A table of the report with its name as it was written."""

    name: str | None
    table: Part[ReportTable]


@dataclass(frozen=True)
class PartialSpec:
    """A spec with None for each item of a list that is nothing of its kind, so that indices are those of the document."""

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
        """The arms that have a name, by it."""
        return {arm.name: arm for arm in self.arms if arm is not None and arm.name is not None}

    def data_of(self, arm: PartialArm) -> Part[AnyData]:
        """What `arm` is trained on."""
        return arm.data or self.data

    def model_of(self, arm: PartialArm) -> Part[AnyModel]:
        """The network of `arm`."""
        return arm.model or self.model

    def train_of(self, arm: PartialArm) -> Part[TrainSettings]:
        """The recipe of `arm`."""
        return arm.train or self.train
