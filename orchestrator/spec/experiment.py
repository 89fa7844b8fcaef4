"""What a researcher posts: data, model, recipe, arms, seeds and evaluations. `intake` reads it from raw JSON."""

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
MAX_EVALUATIONS = 256

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="lower-case letters, digits, . _ -")]
Seed = Annotated[int, Field(ge=0, le=2**31)]
Moment = Annotated[
    Annotated[Literal["first", "last", "every"], Tag("word")] | Annotated[int, Field(ge=0, le=1000), Tag("index")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "index"),
]


Keys = dict[Annotated[str, Field(pattern="^[0-9]{1,10}$")], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]
"""Node keys by seed."""


class Fork(SpecModel):
    """The generation that an arm goes on from: one of another arm, which is trained once (or found) like any other."""

    arm: Name
    generation: int = Field(ge=0, le=1000, description="the last generation that the two arms share")
    experiment: str | None = Field(None, max_length=64, description="id of an earlier experiment; not given: this one")
    keys: Keys = Field(
        {}, description="of the earlier experiment's generation by seed; filled in when the spec is posted"
    )


class Committed(SpecModel):
    """A generation that an earlier experiment committed."""

    experiment: str = Field(max_length=64, description="id of the experiment")
    arm: Name
    generation: int | None = Field(None, ge=0, le=1000, description="by index from 0; not given: the arm's last")
    keys: Keys = Field({}, description="of the generation by seed; filled in when the spec is posted")


class Weights(SpecModel):
    """A file of weights: a state dict saved by torch, or the folder of a checkpoint of ours."""

    uri: str = Field(
        min_length=1, max_length=1000, description="a path that every node sees, or what MLflow can download"
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the file; filled in for a path when the spec is posted"
    )
    strip_prefix: str = Field(
        "", max_length=100, description="what the names of the weights begin with, such as module."
    )
    rename: Annotated[tuple[Annotated[str, Field(pattern="^[^=]*=[^=]*$")], ...], Field(max_length=100)] = Field(
        (), description="OLD=NEW: a prefix of the names that are left, and what the model has in its place"
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
    """One named row of the comparison: a method with its settings, or weights that are there already.

    `data`, `model` and `train` replace the experiment's for this arm; of `train`, what is not given stays.
    """

    name: Name
    method: MethodSpec | None = Field(None, description="how it is trained")
    checkpoint: Checkpoint | None = Field(None, description="instead of a method: what is judged without training")
    fork: Fork | None = Field(None, description="go on from a generation of another arm instead of from the start")
    data: DataSpec | None = Field(None, description="instead of the experiment's")
    model: ModelSpec | None = Field(None, description="instead of the experiment's")
    train: TrainSettings | None = Field(None, description="instead of the experiment's, field by field")


class Evaluation(SpecModel):
    """An evaluator and the generations whose checkpoints it judges."""

    evaluator: EvaluatorSpec
    on: Annotated[tuple[Moment, ...], Field(min_length=1, max_length=100)] = Field(
        ("last",), description="generations by index from 0, or first, last, every"
    )
    arms: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="names of the arms that are judged; not given: all"
    )

    def generations(self, total: int) -> list[int]:
        """The generation indices that `on` means in a run of `total` generations, in order, each once."""
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
    """What a training worker or an evaluation may use. Changes no content key."""

    cpus: int = Field(1, ge=1, le=1024, description="CPUs per training worker and per evaluation")
    gpus: float = Field(0, ge=0, le=64, description="GPUs per training worker and per evaluation")
    workers: int = Field(
        1, ge=1, le=1024, description="training workers per generation, each with its share of every batch"
    )
    threads: int = Field(1, ge=1, le=1024, description="intra-op threads; another number gives other roundings")
    checkpoint_every_s: float = Field(
        30, ge=0, le=86_400, description="seconds between checkpoints inside a generation"
    )
    max_worker_failures: int = Field(3, ge=0, le=1000, description="how often a dead training worker is replaced")


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
        (), description="what the report prints; not given: one table of everything that was judged"
    )
    resources: Resources = Resources()
    search: Search | None = Field(
        None, description="tries other settings of one arm's method, and gives the worse ones up early"
    )

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def data_of(self, arm: Arm) -> AnyData:
        """What `arm` is trained on."""
        return arm.data or self.data

    def model_of(self, arm: Arm) -> AnyModel:
        """The network of `arm`."""
        return arm.model or self.model

    def train_of(self, arm: Arm) -> TrainSettings:
        """The recipe of `arm`."""
        return arm.train or self.train

    def train_spec(self, arm: Arm, seed: int) -> TrainSpec:
        """The training run of `arm`, which has a method, with `seed`."""
        assert arm.method is not None
        return TrainSpec(
            data=self.data_of(arm), model=self.model_of(arm), train=self.train_of(arm), method=arm.method, seed=seed
        )

    def seeds_of(self, arm: Arm) -> tuple[int, ...]:
        """The seeds that `arm` has rows of: weights from a file have no seed and stand in the first one's."""
        return self.seeds[:1] if isinstance(arm.checkpoint, Weights) else self.seeds

    def judged(self, evaluation: Evaluation, arm: Arm) -> list[int]:
        """The generations of `arm` that `evaluation` judges; weights that are there already are one."""
        if evaluation.arms is not None and arm.name not in evaluation.arms:
            return []
        if arm.checkpoint is not None:
            return [last_generation(self, arm)]
        return evaluation.generations(self.train_of(arm).generations)


def last_generation(spec: ExperimentSpec, arm: Arm) -> int:
    """Index of the last generation of `arm`: 0 for weights from a file."""
    match arm.checkpoint:
        case None:
            return spec.train_of(arm).generations - 1
        case Committed():
            return arm.checkpoint.generation or 0
        case Weights():
            return 0
