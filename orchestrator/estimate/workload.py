"""What there is to do, in the units that its time is counted in: optimizer steps of a kind, and judgements of a kind.

Two pieces of work are of one kind where nothing that decides how long a unit takes differs between them.
"""

import json
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import TypeAdapter

from evaluators import EVALUATORS, AnyEvaluator, EvaluatorSpec
from orchestrator.estimate.data_sizes import Extents, extents
from orchestrator.plan import Node
from orchestrator.spec import Arm, ExperimentSpec, Resources
from trainer.core import data
from trainer.core.data import AnyData
from trainer.spec import TrainSpec

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class StepKind:
    """Optimizer steps that take equally long. `model` and `data` are their settings as canonical JSON."""

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
class JudgementKind:
    """Judgements that take equally long: `evaluator` is name, version and settings as canonical JSON."""

    evaluator: str
    model: str
    target: str
    device: Device
    threads: int
    trained_on: str
    """The settings of the network's training data as canonical JSON; empty for an evaluator that reads none."""
    shown: str = field(default="", compare=False)
    """The settings that are not at their default, for people."""

    @property
    def name(self) -> str:
        """Of the evaluator."""
        return _name(self.evaluator)

    def __str__(self) -> str:
        return f"{self.name}{self.shown} of {_name(self.model)} on {self.target}"


class Work:
    """The kinds of an experiment's nodes, and the steps of its generations."""

    def __init__(self, spec: ExperimentSpec) -> None:
        self._spec = spec
        self._arms = {arm.name: arm for arm in spec.arms}
        self._steps: dict[tuple[str, bool], StepKind] = {}
        self._judgements: dict[tuple[str, str, str], JudgementKind] = {}
        self._extents: dict[AnyData, Extents | None] = {}
        self._count: dict[str, int | None] = {}

    def arm(self, name: str) -> Arm:
        """The arm called `name`, found at once."""
        return self._arms[name]

    def extents(self, arm: str) -> Extents | None:
        """Of what the arm is trained on; None where that is not known."""
        found = self._spec.data_of(self._arms[arm])
        if found not in self._extents:
            self._extents[found] = extents(found)
        return self._extents[found]

    def steps(self, arm: str) -> int | None:
        """Optimizer steps of one of the arm's generations; None where the training set's size is not known."""
        of_epoch = self.steps_of_epoch(arm)
        return None if of_epoch is None else of_epoch * self.epochs(arm)

    def steps_of_epoch(self, arm: str) -> int | None:
        """Likewise, of one epoch."""
        if arm not in self._count:
            size, train = self.extents(arm), self._spec.train_of(self._arms[arm])
            self._count[arm] = None if size is None else math.ceil(size.train / train.batch_size)
        return self._count[arm]

    def epochs(self, arm: str) -> int:
        """Of one of the arm's generations."""
        return self._spec.train_of(self._arms[arm]).epochs

    def step_kind(self, arm: str, generation: int) -> StepKind:
        """Of the steps of a generation of `arm`, which has a method."""
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

    def judgement_kind(self, node: Node) -> JudgementKind:
        """Of the judgement that `node` is."""
        assert node.evaluator is not None
        at = node.arm, json.dumps(node.evaluator), node.target_label
        if at not in self._judgements:
            evaluator: AnyEvaluator = _EVALUATOR.validate_python(node.evaluator)
            own = evaluator.model_dump(mode="json", exclude={"name", "targets"})
            kind = judgement(
                self._spec, self._arms[node.arm], evaluator.name, evaluator.version, own, node.target_label
            )
            chosen = [f"{name} {_text(own[name])}" for name in node.evaluator if name in own]
            shown = f" ({', '.join(chosen)})" if chosen else ""
            self._judgements[at] = replace(kind, shown=shown)
        return self._judgements[at]

    def train_spec(self, arm: str) -> TrainSpec:
        """As the arm would be trained with the first seed."""
        return self._spec.train_spec(self._arms[arm], self._spec.seeds[0])


def judgement(
    spec: ExperimentSpec, arm: Arm, name: str, version: int, settings: dict[str, Any], target: str
) -> JudgementKind:
    """The kind of a judgement of `arm` on the data that tables call `target`."""
    evaluator = _canonical({"name": name, "version": version, "settings": settings})
    resources = spec.resources
    whole = target.replace(".partial", "")
    kind = EVALUATORS.get(name)  # None for one of a package that is gone
    trained_on = _settings(spec.data_of(arm)) if kind is not None and kind.reads_source else ""
    return JudgementKind(evaluator, model_of(spec, arm), whole, device_of(resources), resources.threads, trained_on)


def model_of(spec: ExperimentSpec, arm: Arm) -> str:
    """Canonical JSON of the arm's network."""
    return _settings(spec.model_of(arm))


def target_label(text: str) -> str:
    """What tables call the data that a result's details name as NAME#DIGEST."""
    bare = text.split("#")[0]
    try:
        return data.named(bare).label
    except ValueError:  # measured under other code
        return bare


def counted(number: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def device_of(resources: Resources) -> Device:
    return "gpu" if resources.gpus > 0 else "cpu"


def _settings(part: Any) -> str:
    """Canonical JSON of a model or of data; what is only filled in once data is prepared is left out."""
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
