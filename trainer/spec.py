"""The spec of one training run: data, model, recipe, method and seed.

It contains everything that can change a weight.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trainer.core import json_text
from trainer.core.data import DataSpec
from trainer.core.mistakes import validated
from trainer.core.models import MIDDLES, DigitsResNet, ModelSpec, released_middle, skeleton
from trainer.core.schedule import Schedule
from trainer.methods import METHODS, MethodSpec

Recipe = Literal["paper", "official-code"]


class TrainSettings(BaseModel):
    """The training recipe (SEAL paper section 4.1).

    It is SGD with momentum on smoothed cross-entropy, with a schedule per generation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recipe: Recipe = Field("paper", description="whose values fill what is not given, where they differ")
    generations: int = Field(10, ge=1, le=1000, description="trainings in all, the ordinary first one included")
    epochs: int = Field(160, ge=1, le=100_000, description="E: epochs of each generation")
    batch_size: int = Field(32, ge=1, le=65_536, description="images per step; the last, smaller batch is kept")
    lr: float = Field(0.01, gt=0, le=100, description="base learning rate, before the schedule")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum, no dampening, no Nesterov")
    weight_decay: float = Field(
        5e-4, ge=0, le=1, description="L2 in the gradient of every parameter, BN and biases too"
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of the target spread over all classes")
    schedule: Schedule = Field(Schedule(), description="how the learning rate moves within its scope")
    precision: Literal["fp32", "tf32", "bf16", "fp64"] = Field(
        "fp32",
        description="of the arithmetic; bf16 and tf32 deviate from the paper's fp32 (weights stay fp32), "
        "fp64 is for proofs",
    )
    reset_momentum_at: tuple[Literal["generation", "switch"], ...] = Field(
        ("generation", "switch"),
        max_length=2,
        description="where momentum starts from zero: a generation, the switch between two phases of one "
        "(released code: both)",
    )
    batch_norm: Literal["synced", "per-worker"] = Field(
        "synced",
        description="of several workers: statistics over the whole batch, as one worker has them, "
        "or over each worker's share",
    )
    evaluate_every: int = Field(1, ge=1, description="test accuracy every so many epochs, and after the last one")

    def problems(self) -> list[tuple[str, str]]:
        """Returns (field, message) pairs for values that are in range but contradict each other."""
        scope = self.epochs * (self.generations if self.schedule.scope == "run" else 1)
        return [(f"schedule/{field}", message) for field, message in self.schedule.problems(scope)]


class TrainSpec(BaseModel):
    """One arm with one seed, in the form that `python -m trainer` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    data: DataSpec
    model: ModelSpec = DigitsResNet()
    train: TrainSettings = TrainSettings()
    method: MethodSpec
    seed: int = Field(0, ge=0, le=2**31, description="of initialisation, data order, augmentation and forgetting")

    def problems(self) -> list[tuple[str, str]]:
        """Returns (path, message) pairs for all contradictions between the parts."""
        parameters = [name for name, _ in skeleton(self.model, classes=2).named_parameters()]
        found = [(f"train/{field}", message) for field, message in self.train.problems()]
        return found + [
            (f"method/{field}", message) for field, message in self.method.problems(self.train.epochs, parameters)
        ]


OFFICIAL_CODE: dict[str, Any] = {"lr": 0.1, "schedule": {"warmup_epochs": 20}}
"""The settings of the released code where the paper differs or is silent (protocols section 6, rows 1 and 2)."""


def with_recipe(train: dict[str, Any]) -> dict[str, Any]:
    """Returns the raw train settings, completed by the values of the recipe."""
    return _filled(train, OFFICIAL_CODE) if train.get("recipe") == "official-code" else train


def method_with_recipe(method: dict[str, Any], recipe: object, model: object) -> dict[str, Any]:
    """Returns the raw method settings, completed by the values of the recipe and the model's layer threshold."""
    kind = METHODS.get(str(method.get("name")))
    if kind is None:
        return method
    middle = MIDDLES.get(str(model.get("name"))) if isinstance(model, dict) else None
    if isinstance(model, dict) and recipe == "official-code":
        middle = released_middle(model) or middle
    if middle is not None and "layer_threshold" in kind.model_fields:
        method = {"layer_threshold": middle, **method}
    return kind.as_released(method) if recipe == "official-code" else method


class IsExperiment(ValueError):  # noqa: N818  names what the document is
    """The document is the spec of an experiment, or a capsule, and not of one training run. The text is the reason."""


def parse(text: str | bytes) -> TrainSpec:
    """Parses a TrainSpec from JSON. Raises ValueError with every mistake."""
    return read(json_text.parsed(text.encode() if isinstance(text, str) else text))


def read(raw: object) -> TrainSpec:
    """Returns the TrainSpec of a JSON value, with the values of its recipe filled in.

    Raises ValueError with every mistake, and IsExperiment.
    """
    if isinstance(raw, dict):
        if found := [name for name in _EXPERIMENT if name in raw]:
            raise IsExperiment(f"it has {found[0]}")
        raw = dict(raw)
        if isinstance(train := raw.get("train", {}), dict):
            raw["train"] = with_recipe(train)
            if isinstance(method := raw.get("method"), dict):
                raw["method"] = method_with_recipe(method, train.get("recipe"), raw.get("model"))
    spec = validated(_SPEC, raw)
    if found := [f"{path}: {message}" for path, message in spec.problems()]:
        raise ValueError("; ".join(found))
    return spec


def _filled(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    full = dict(given)
    for key, value in defaults.items():
        if key not in full:
            full[key] = value
        elif isinstance(value, dict) and isinstance(full[key], dict):
            full[key] = _filled(full[key], value)
    return full


_SPEC = TypeAdapter(TrainSpec)
_EXPERIMENT = ("arms", "preset", "evaluations", "search", "relearn_capsule")
"""The fields that only experiments and capsules have."""
