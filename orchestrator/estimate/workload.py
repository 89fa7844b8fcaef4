"""The work of an experiment in the units in which its time is counted: optimizer steps and evaluations, by kind.

Two units of work are of the same kind if they agree in everything that determines how long they take.
"""

import json
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import TypeAdapter

from evaluators import EVALUATORS, AnyEvaluator, EvaluatorSpec
from orchestrator.estimate.data_sizes import DataSizes, data_sizes
from orchestrator.plan import Node
from orchestrator.spec import Arm, ExperimentSpec, Resources
from trainer.core import data
from trainer.core.data import AnyData
from trainer.spec import TrainSpec

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class StepKind:
    """Optimizer steps that take equally long. `model` and `data` are settings as canonical JSON."""

    model: str
    data: str
    batch_size: int
    evaluate_every: int
    precision: str
    family: str
    device: Device
    threads: int
    workers: int

    def __str__(self) -> str:
        own = "" if self.family == "ordinary" else f", {self.family} steps"
        return (
            f"{_name(self.model)} on {_name(self.data)}, batch {self.batch_size}, {self.precision}{own}, {self._where}"
        )

    @property
    def _where(self) -> str:
        workers = f"{self.workers} x " if self.workers > 1 else ""
        return (
            f"{workers}GPU"
            if self.device == "gpu"
            else f"{workers}{self.threads} CPU thread{'s' if self.threads > 1 else ''}"
        )


@dataclass(frozen=True)
class EvaluationKind:
    """Evaluations that take equally long. `evaluator` is a name, a version and settings as canonical JSON."""

    evaluator: str
    model: str
    target: str
    device: Device
    threads: int
    trained_on: str
    """The settings of the network's training data as canonical JSON; empty for an evaluator that does not read it."""
    shown: str = field(default="", compare=False)
    """The evaluator's settings that differ from their defaults, as text for people."""

    @property
    def name(self) -> str:
        """The name of the evaluator."""
        return _name(self.evaluator)

    def __str__(self) -> str:
        return f"{self.name}{self.shown} of {_name(self.model)} on {self.target}"


class Workload:
    """The kind of each node of an experiment, and the number of optimizer steps of its generations."""

    def __init__(self, spec: ExperimentSpec) -> None:
        self._spec = spec
        self._arms = {arm.name: arm for arm in spec.arms}
        self._steps: dict[tuple[str, bool], StepKind] = {}
        self._evaluation_kinds: dict[tuple[str, str, str], EvaluationKind] = {}
        self._sizes: dict[AnyData, DataSizes | None] = {}
        self._count: dict[str, int | None] = {}

    def arm(self, name: str) -> Arm:
        """Returns the arm called `name`, in constant time."""
        return self._arms[name]

    def data_sizes(self, arm: str) -> DataSizes | None:
        """Returns the sizes of the arm's training data, or None if they are unknown."""
        found = self._spec.data_of(self._arms[arm])
        if found not in self._sizes:
            self._sizes[found] = data_sizes(found)
        return self._sizes[found]

    def steps(self, arm: str) -> int | None:
        """Returns the optimizer steps per generation of the arm, or None if the size of its training set is unknown."""
        steps = self.steps_of_epoch(arm)
        return None if steps is None else steps * self.epochs(arm)

    def steps_of_epoch(self, arm: str) -> int | None:
        """Returns the optimizer steps per epoch of the arm, or None if the size of its training set is unknown."""
        if arm not in self._count:
            size, train = self.data_sizes(arm), self._spec.train_of(self._arms[arm])
            self._count[arm] = None if size is None else math.ceil(size.train / train.batch_size)
        return self._count[arm]

    def epochs(self, arm: str) -> int:
        """Returns the number of epochs per generation of the arm."""
        return self._spec.train_of(self._arms[arm]).epochs

    def step_kind(self, arm: str, generation: int) -> StepKind:
        """Returns the kind of the steps in a generation of `arm`, which has a method."""
        at = arm, generation > 0
        if at not in self._steps:
            described, resources = self._arms[arm], self._spec.resources
            train, method = self._spec.train_of(described), described.method
            assert method is not None
            self._steps[at] = StepKind(
                model_of(self._spec, described),
                _settings(self._spec.data_of(described)),
                train.batch_size,
                train.evaluate_every,
                train.precision,
                method.step_kind(generation),
                device_of(resources),
                resources.threads,
                resources.workers,
            )
        return self._steps[at]

    def evaluation_kind(self, node: Node) -> EvaluationKind:
        """Returns the kind of the evaluation `node`."""
        assert node.evaluator is not None
        at = node.arm, json.dumps(node.evaluator), node.target_label
        if at not in self._evaluation_kinds:
            evaluator: AnyEvaluator = _EVALUATOR.validate_python(node.evaluator)
            own = evaluator.model_dump(mode="json", exclude={"name", "targets"})
            kind = evaluation_kind_of(
                self._spec,
                self._arms[node.arm],
                name=evaluator.name,
                version=evaluator.version,
                settings=own,
                target=node.target_label,
            )
            chosen = [f"{name} {_text(own[name])}" for name in node.evaluator if name in own]
            shown = f" ({', '.join(chosen)})" if chosen else ""
            self._evaluation_kinds[at] = replace(kind, shown=shown)
        return self._evaluation_kinds[at]

    def train_spec(self, arm: str) -> TrainSpec:
        """Returns how the arm is trained with the experiment's first seed."""
        return self._spec.train_spec(self._arms[arm], self._spec.seeds[0])


def evaluation_kind_of(
    spec: ExperimentSpec,
    arm: Arm,
    *,
    name: str,
    version: int,
    settings: dict[str, Any],
    target: str,
) -> EvaluationKind:
    """Returns the kind of an evaluation of `arm` by the evaluator `name`.

    `target` is the label of the data on which it is evaluated, as in tables.
    """
    evaluator = _canonical({"name": name, "version": version, "settings": settings})
    resources = spec.resources
    whole = target.replace(".partial", "")
    evaluator_type = EVALUATORS.get(name)  # None if its package is no longer installed
    trained_on = _settings(spec.data_of(arm)) if evaluator_type is not None and evaluator_type.reads_source else ""
    return EvaluationKind(
        evaluator,
        model_of(spec, arm),
        whole,
        device_of(resources),
        resources.threads,
        trained_on,
    )


def model_of(spec: ExperimentSpec, arm: Arm) -> str:
    """Returns the settings of the arm's network as canonical JSON."""
    return _settings(spec.model_of(arm))


def target_label(text: str) -> str:
    """Returns the label in tables of data that the details of a result name as NAME#DIGEST."""
    bare = text.split("#")[0]
    try:
        return data.named(bare).label
    except ValueError:  # a result of another version of the code
        return bare


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, such as `1 epoch` or `2 epochs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def device_of(resources: Resources) -> Device:
    """Returns the kind of device that a worker of `resources` computes on."""
    return "gpu" if resources.gpus > 0 else "cpu"


def _settings(part: Any) -> str:
    """Returns the settings of a model or of data as canonical JSON, without the fields that preparing data fills in."""
    found = part.model_dump(mode="json", exclude_defaults=True, exclude={"digest", "partial"}) | {"name": part.name}
    if hasattr(part, "chosen_recipe"):
        found["recipe"] = part.chosen_recipe
    return _canonical(found)


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _text(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return " ".join(map(str, value)) if len(value) < 6 else f"of {len(value)}"


def _name(settings: str) -> str:
    return str(json.loads(settings)["name"])


_EVALUATOR: TypeAdapter[Any] = TypeAdapter(EvaluatorSpec)
