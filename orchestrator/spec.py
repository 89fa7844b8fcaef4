"""What a researcher posts: data, model, recipe, arms, seeds and evaluations. `checks.py` reads it from raw JSON."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from evaluators import EvaluatorSpec
from trainer.core.data import DataSpec
from trainer.core.models import DigitsResNet, ModelSpec
from trainer.methods import MethodSpec
from trainer.spec import TrainSettings, TrainSpec

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="lower-case letters, digits, . _ -")]
Seed = Annotated[int, Field(ge=0, le=2**31)]
Moment = Annotated[
    Annotated[Literal["first", "last", "every"], Tag("word")] | Annotated[int, Field(ge=0, le=1000), Tag("index")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "index"),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Fork(_Part):
    """The generation that an arm goes on from: one of another arm, which is trained once (or found) like any other."""

    arm: Name
    generation: int = Field(ge=0, le=1000, description="the last generation that the two arms share")


class Arm(_Part):
    """One named row of the comparison: a method with its settings."""

    name: Name
    method: MethodSpec
    fork: Fork | None = Field(None, description="go on from a generation of another arm instead of from the start")


class Evaluation(_Part):
    """An evaluator and the generations whose checkpoints it judges."""

    evaluator: EvaluatorSpec
    on: Annotated[tuple[Moment, ...], Field(min_length=1, max_length=100)] = Field(
        ("last",), description="generations by index from 0, or first, last, every"
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


class Resources(_Part):
    """What a training worker or an evaluation may use. Changes no content key."""

    cpus: int = Field(1, ge=1, le=1024, description="CPUs per training worker and per evaluation")
    gpus: float = Field(0, ge=0, le=64, description="GPUs per training worker and per evaluation")
    workers: int = Field(1, ge=1, le=1024, description="training workers per generation, each with its share of every batch")
    threads: int = Field(1, ge=1, le=1024, description="intra-op threads; another number gives other roundings")
    checkpoint_every_s: float = Field(30, ge=0, le=86_400, description="seconds between checkpoints inside a generation")
    max_worker_failures: int = Field(3, ge=0, le=1000, description="how often a dead training worker is replaced")


class ExperimentSpec(_Part):
    """One experiment, as posted to /experiments."""

    name: Name
    data: DataSpec
    model: ModelSpec = DigitsResNet()
    train: TrainSettings = TrainSettings()
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=64)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100)] = (0,)
    evaluations: Annotated[tuple[Evaluation, ...], Field(max_length=64)] = ()
    resources: Resources = Resources()

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def train_spec(self, arm: Arm, seed: int) -> TrainSpec:
        """The training run of `arm` with `seed`."""
        return TrainSpec(data=self.data, model=self.model, train=self.train, method=arm.method, seed=seed)
