"""Reinitialises parts of a trained network, as LLF, SEAL's Reinit and the distillation students do."""

import copy

from torch import Tensor, nn

from trainer.core.init import InitLaw, initialise, redraw, redraw_bias
from trainer.core.layers import split_at
from trainer.core.models.resnet import KeptShortcut
from trainer.core.seeding import generator
from trainer.core.state import TrainState

GIVEN = "given/"
"""The prefix in `TrainState.memory` of initial weights that were given instead of drawn."""


def reinit_late(
    state: TrainState,
    threshold: str | int,
    law: InitLaw,
    *,
    bias: bool = False,
    bn: bool = False,
    statistics: bool = False,
    shortcuts: bool | None = None,
) -> int:
    """Draws the conv and linear weights of the layers from `threshold` on from `law`, as SEAL's released code does.

    In the same layers, `bias` also draws biases, `bn` sets gamma to 1 and beta to 0, and `statistics` resets the
    running statistics of BatchNorm. `shortcuts` decides about the convs on shortcuts of pre-activation blocks; by
    default all but those of released blocks are drawn. Returns the number of changed scalars, without running
    statistics.
    """
    late = set(split_at([name for name, _ in state.model.named_parameters()], threshold)[1])
    late -= _kept_shortcuts(state.model, shortcuts)
    changed = 0
    for name, module in state.model.named_modules():
        if f"{name}.weight" not in late and f"{name}.bias" not in late:
            continue
        if isinstance(module, nn.BatchNorm2d):
            if bn:
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
                changed += module.weight.numel() + module.bias.numel()
            if statistics:
                module.reset_running_stats()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            if f"{name}.weight" in late:
                redraw(module.weight, law, generator(state.seed, "forget", state.generation, f"{name}.weight"))
                changed += module.weight.numel()
            if bias and module.bias is not None:
                redraw_bias(
                    module.bias, module.weight, generator(state.seed, "forget", state.generation, f"{name}.bias")
                )
                changed += module.bias.numel()
    return changed


def _kept_shortcuts(model: nn.Module, redrawn: bool | None) -> set[str]:
    """Returns the names of the weights on shortcuts that are not to be drawn again."""
    kept = {name for name, module in model.named_modules() if isinstance(module, KeptShortcut)}
    if redrawn is not None:
        kept = set() if redrawn else {name for name, _ in model.named_modules() if name.endswith(".shortcut")}
    return {f"{name}.0.weight" for name in kept}


def become_student(state: TrainState) -> int:
    """Makes a frozen copy of the network the teacher and reinitialises the network as a student.

    Returns the number of parameters of the student.
    """
    state.teacher = copy.deepcopy(state.model).eval().requires_grad_(requires_grad=False)
    initialise(state.model, state.init_law, state.seed, state.generation)
    state.momentum, state.origin = {}, (state.seed, state.generation)
    state.memory = {name: tensor for name, tensor in state.memory.items() if not name.startswith(GIVEN)}
    return sum(parameter.numel() for parameter in state.model.parameters())


def weights_at_start(state: TrainState) -> dict[str, Tensor]:
    """Returns the parameters `name -> tensor` as they were before the network's first step.

    They are drawn again from the seed, unless a replay was given its initial weights.
    """
    if given := {name.removeprefix(GIVEN): weight for name, weight in state.memory.items() if name.startswith(GIVEN)}:
        return given
    model = copy.deepcopy(state.model)
    seed, generation = state.origin or (state.seed, 0)
    initialise(model, state.init_law, seed, *([generation] if generation else []))
    return {name: parameter.detach() for name, parameter in model.named_parameters()}
