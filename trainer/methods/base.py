"""What a method may declare. The training loop never branches on the name of a method.

A method holds only hyper-parameters; what it must remember is in `TrainState`. `forget` acts at the start of a
generation, `phases` divides its epochs, `groups` divides the parameters that phases treat differently, and `loss` is
the objective. `before_step` and `after_step` run around every step of the optimizer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from trainer.core.layers import LayerThreshold, split_at
from trainer.core.reinit import become_student
from trainer.core.state import TrainState


@dataclass(frozen=True)
class Scale:
    """Multipliers of a group's learning rate and weight decay.

    With a negative learning rate the group ascends the loss, and with zero it is frozen.
    """

    lr: float = 1.0
    weight_decay: float = 1.0


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs of a generation under one fresh optimizer.

    `scales` is by optimizer group; groups that it does not name are unscaled. `forgets` marks a forgetting phase.
    """

    name: str
    epochs: range
    scales: Mapping[str, Scale] = field(default_factory=dict)
    forgets: bool = False


@dataclass(frozen=True)
class Forgotten:
    """What forgetting did at a generation's start.

    `redrawn` scalars of the network were drawn again, and `pruned` scalars are held at zero from now on.
    """

    redrawn: int = 0
    pruned: int = 0


@dataclass(frozen=True)
class Step:
    """One step of the optimizer.

    `index` counts the steps of the epoch from 0, `lr` is the scheduled learning rate, and `loss` is the detached loss
    of the batch.
    """

    index: int
    lr: float
    loss: Tensor


class NetworkBytes(NamedTuple):
    """Bytes of a network's parameters, of its buffers, and of one boolean mask over its conv and linear weights."""

    parameters: int
    buffers: int
    mask: int


CrossEntropy = Callable[[Tensor, Tensor], Tensor]
"""The cross-entropy of the recipe, with its label smoothing: logits `[B, C]` and labels `[B]` to the batch mean."""


class Method(BaseModel):
    """Base of all methods. By itself it is ordinary training: nothing is forgotten, and one phase holds all epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    static_loss: ClassVar[bool] = False
    """Whether an overridden `loss` performs the same tensor operations at every step of a generation.

    A CUDA graph may then replay it.
    """

    name: str

    def forget(self, state: TrainState) -> Forgotten | None:
        """Forgets at the start of every generation >= 1.

        Returns what it did, or None if the method does not forget here.
        """
        return None

    def phases(self, generation: int, epochs: int) -> list[Phase]:
        """Returns the phases of `generation`, which together cover `range(epochs)` in order."""
        return [Phase("learning", range(epochs))]

    def groups(self, parameter_names: list[str]) -> dict[str, list[str]]:
        """Returns the optimizer groups, with every name in exactly one. The names come in registration order."""
        return {"all": parameter_names}

    def loss(
        self, state: TrainState, images_BCHW: Tensor, labels_B: Tensor, cross_entropy: CrossEntropy
    ) -> tuple[Tensor, Tensor]:
        """Returns the mean loss over the batch and the network's logits `[B, C]`."""
        logits_BC = state.model(images_BCHW)
        return cross_entropy(logits_BC, labels_B), logits_BC

    def before_step(self, state: TrainState, step: Step) -> None:
        """Runs after the gradients are computed and before the weights are updated."""

    def after_step(self, state: TrainState) -> None:
        """Runs after the weights are updated."""

    def measures(self, state: TrainState) -> dict[str, float]:
        """Returns the method's own metrics of the epoch that has just ended, by name."""
        return {}

    def identity(self, generation: int) -> dict[str, Any] | None:
        """Returns the settings that shape `generation`, for its content key, or None if it is ordinary training."""
        return None if generation == 0 else self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}

    def needs_own_start(self) -> bool:
        """Returns whether generation 0 must be trained with this method, because the method stores something there."""
        return False

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        """Returns (field, message) pairs for settings that contradict the recipe or the model.

        `epochs` is the number of epochs per generation, or None if it is not known.
        """
        return []

    def cut(self) -> LayerThreshold | None:
        """Returns the first late layer, or None if the method does not treat early and late layers differently."""
        return None

    def taught(self, generation: int) -> bool:
        """Returns whether a frozen network (`TrainState.teacher`) teaches in `generation`."""
        return False

    def step_kind(self, generation: int) -> str:
        """Returns the cost class of the steps of `generation`. Steps of one kind take equally long, for every method.

        The kind is `ordinary` for steps without a loss or hooks of the method's own, `taught` for a loss that also runs
        the teacher, and the method's name otherwise. A cost estimate assumes one kind for all generations >= 1.
        """
        kind = type(self)
        hooked = (kind.before_step, kind.after_step) != (Method.before_step, Method.after_step)
        if self.identity(generation) is None or (kind.loss is Method.loss and not hooked):
            return "ordinary"
        return "taught" if self.taught(generation) and not hooked else self.name

    def stored_bytes(self, generation: int, network: NetworkBytes) -> int:
        """Returns the size in bytes of `TrainState.memory` at the end of `generation`, for a network of this size."""
        return 0

    def slim_share(self) -> float | None:
        """Returns the share of each layer's channels that forms a slim network (core.masks.slim), or None."""
        return None

    @classmethod
    def as_released(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Returns the settings `given`, completed by those of the authors' released code that differ from the paper."""
        return given

    @classmethod
    def twins(cls) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Returns the identities that the method declares.

        Each is a pair of settings: its own, and those of another method that must train the same weights bit for bit.
        """
        return []


class StudentMethod(Method):
    """A method in which every generation >= 1 is a new network that is taught by the previous generation."""

    static_loss: ClassVar[bool] = True

    def forget(self, state: TrainState) -> Forgotten:
        return Forgotten(become_student(state))

    def taught(self, generation: int) -> bool:
        return generation > 0


class LayeredMethod(Method):
    """A method that cuts the network into early and late layers."""

    layer_threshold: LayerThreshold = Field(
        "layer3",
        description="first late layer: a name, or L as the paper counts convs (23 is layer3 of ResNet-50); "
        "where it is not given, layer3, and layer2.9 for ResNet-110 (an assumption: the paper does not say)",
    )

    def cut(self) -> LayerThreshold | None:
        return self.layer_threshold

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        try:
            split_at(parameter_names, self.layer_threshold)
        except ValueError as error:
            return [("layer_threshold", str(error))]
        return []
