"""An experiment as a researcher posts it: data, model, recipe, arms, seeds and evaluations.

`orchestrator.intake` reads it from raw JSON.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from evaluators import EvaluatorSpec
from orchestrator.spec.base import SpecModel
from orchestrator.spec.search import Search
from orchestrator.spec.tables import ReportTable
from trainer.core.data import AnyData, DataSpec
from trainer.core.models import AnyModel, DigitsResNet, ModelSpec
from trainer.methods import MethodSpec
from trainer.spec import TrainSettings, TrainSpec

MAX_ARMS = 1000
"""The greatest number of arms of an experiment."""
MAX_EVALUATIONS = 256
"""The greatest number of entries in `evaluations`."""

MAX_NAME = 64
"""The greatest number of characters of a name."""

Name = Annotated[
    str,
    Field(pattern=rf"^[a-z0-9][a-z0-9._-]{{0,{MAX_NAME - 1}}}$", description="lower-case letters, digits, . _ -"),
]
Seed = Annotated[int, Field(ge=0, le=2**31)]
Moment = Annotated[
    Annotated[Literal["first", "last", "every"], Tag("word")] | Annotated[int, Field(ge=0, le=1000), Tag("index")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "index"),
]


Keys = dict[Annotated[str, Field(pattern="^[0-9]{1,10}$")], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]
"""Node keys by seed."""


class Fork(SpecModel):
    """The generation of another arm that an arm continues. It is trained only once for both arms."""

    arm: Name
    generation: int = Field(ge=0, le=1000, description="the last generation that the two arms share")
    experiment: str | None = Field(None, max_length=64, description="id of an earlier experiment; not given: this one")
    keys: Keys = Field(
        {}, description="node keys of the earlier experiment's generation by seed; filled in when the spec is posted"
    )


class Committed(SpecModel):
    """A generation that an earlier experiment has committed."""

    experiment: str = Field(max_length=64, description="id of the experiment")
    arm: Name
    generation: int | None = Field(None, ge=0, le=1000, description="by index from 0; not given: the arm's last")
    keys: Keys = Field({}, description="node keys of the generation by seed; filled in when the spec is posted")


class Weights(SpecModel):
    """A file of weights: a state dict saved by torch, or the folder of a relearn checkpoint."""

    uri: str = Field(
        min_length=1, max_length=1000, description="a path that every node can read, or a URI that MLflow can download"
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="digest of the file; filled in for a path when the spec is posted"
    )
    strip_prefix: str = Field(
        "", max_length=100, description="prefix that is removed from the names of the weights, such as module."
    )
    rename: Annotated[tuple[Annotated[str, Field(pattern="^[^=]*=[^=]*$")], ...], Field(max_length=100)] = Field(
        (), description="OLD=NEW: a prefix of the remaining names, and the prefix that the model has instead"
    )


Checkpoint = Annotated[
    Annotated[Committed, Tag("committed")] | Annotated[Weights, Tag("weights")],
    Discriminator(
        lambda value: (
            "weights"
            if "uri" in (value if isinstance(value, dict) else getattr(value, "__dict__", ()))
            else "committed"
        )
    ),
]


class Arm(SpecModel):
    """One named row of the comparison: a method with its settings, or existing weights.

    `data` and `model` replace those of the experiment for this arm. `train` replaces only the fields that it gives.
    """

    name: Name
    method: MethodSpec | None = Field(None, description="how it is trained")
    checkpoint: Checkpoint | None = Field(
        None, description="instead of a method: weights that are evaluated without training"
    )
    fork: Fork | None = Field(
        None,
        description="the generation of another arm that this arm continues; not given: none",
    )
    data: DataSpec | None = Field(None, description="instead of the experiment's")
    model: ModelSpec | None = Field(None, description="instead of the experiment's")
    train: TrainSettings | None = Field(None, description="instead of the experiment's, field by field")


class Evaluation(SpecModel):
    """An evaluator and the generations whose checkpoints it evaluates."""

    evaluator: EvaluatorSpec
    on: Annotated[tuple[Moment, ...], Field(min_length=1, max_length=100)] = Field(
        ("last",), description="generations by index from 0, or first, last, every"
    )
    arms: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="names of the arms that are evaluated; not given: all"
    )

    def generations(self, total: int) -> list[int]:
        """Returns the generations that `on` selects in a run of `total` generations, as sorted indices."""
        chosen: set[int] = set()
        for moment in self.on:
            match moment:
                case "first":
                    chosen.add(0)
                case "last":
                    chosen.add(total - 1)
                case "every":
                    chosen.update(range(total))
                case int():
                    chosen.add(moment)
        return sorted(chosen)


class Resources(SpecModel):
    """The resources of a training worker or an evaluation. They are not part of any content key."""

    cpus: int = Field(1, ge=1, le=1024, description="CPUs per training worker and per evaluation")
    gpus: float = Field(0, ge=0, le=64, description="GPUs per training worker and per evaluation")
    workers: int = Field(
        1, ge=1, le=1024, description="training workers per generation, each with its share of every batch"
    )
    threads: int = Field(1, ge=1, le=1024, description="intra-op threads; another number gives other rounding errors")
    checkpoint_every_s: float = Field(
        30, ge=0, le=86_400, description="seconds between checkpoints inside a generation"
    )
    max_worker_failures: int = Field(
        3, ge=0, le=1000, description="how many times a training worker that died is replaced"
    )


class ExperimentSpec(SpecModel):
    """One experiment, as posted to /experiments."""

    name: Name
    title: str | None = Field(None, max_length=200, description="heading of the report")
    preset: str | None = Field(None, max_length=100, description="the preset it was made from, NAME@VERSION")
    data: DataSpec
    model: ModelSpec = DigitsResNet()
    train: TrainSettings = TrainSettings()
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=MAX_ARMS)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100)] = (0,)
    evaluations: Annotated[tuple[Evaluation, ...], Field(max_length=MAX_EVALUATIONS)] = ()
    tables: Annotated[tuple[ReportTable, ...], Field(max_length=64)] = Field(
        (), description="tables of the report; not given: one table of all evaluations"
    )
    resources: Resources = Resources()
    search: Search | None = Field(
        None, description="tries other settings of one arm's method, and stops the worse ones early"
    )

    def arm(self, name: str) -> Arm:
        """Returns the arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def data_of(self, arm: Arm) -> AnyData:
        """Returns the training data of `arm`."""
        return arm.data or self.data

    def model_of(self, arm: Arm) -> AnyModel:
        """Returns the network of `arm`."""
        return arm.model or self.model

    def train_of(self, arm: Arm) -> TrainSettings:
        """Returns the training settings of `arm`."""
        return arm.train or self.train

    def train_spec(self, arm: Arm, seed: int) -> TrainSpec:
        """Returns the training run of `arm`, which has a method, with `seed`."""
        assert arm.method is not None
        return TrainSpec(
            data=self.data_of(arm),
            model=self.model_of(arm),
            train=self.train_of(arm),
            method=arm.method,
            seed=seed,
        )

    def seeds_of(self, arm: Arm) -> tuple[int, ...]:
        """Returns the seeds for which `arm` has rows. Weights from a file have only the row of the first seed."""
        return self.seeds[:1] if isinstance(arm.checkpoint, Weights) else self.seeds

    def evaluated_generations(self, evaluation: Evaluation, arm: Arm) -> list[int]:
        """Returns the generations of `arm` that `evaluation` evaluates. Existing weights have one."""
        if evaluation.arms is not None and arm.name not in evaluation.arms:
            return []
        if arm.checkpoint is not None:
            return [last_generation(self, arm)]
        return evaluation.generations(self.train_of(arm).generations)


def last_generation(spec: ExperimentSpec, arm: Arm) -> int:
    """Returns the index of the last generation of `arm`, which is 0 for weights from a file."""
    match arm.checkpoint:
        case None:
            return spec.train_of(arm).generations - 1
        case Committed():
            return arm.checkpoint.generation or 0
        case Weights():
            return 0
