"""Splits a network into early and late layers (SEAL paper section 4.1; protocols section 3)."""

import re
from typing import Annotated

from pydantic import Discriminator, Field, Tag

LayerThreshold = Annotated[
    Annotated[str, Field(min_length=1, max_length=200), Tag("name")]
    | Annotated[int, Field(ge=1, le=10_000), Tag("conv index")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "conv index"),
]
"""The first late layer: a name such as `layer3` or `layer2.9`, or the paper's L, the index of a conv counted from 1."""


def split_at(parameter_names: list[str], threshold: str | int) -> tuple[list[str], list[str]]:
    """Splits names in registration order before the first parameter of layer `threshold`; returns (early, late).

    Whole name components are matched: `layer1` does not match `layer10`. An index counts convs in forward order without
    downsample convs: L=23 is the third stage of ResNet-50. Raises ValueError if the model has no such layer.
    """
    wanted = (_conv(parameter_names, threshold) if isinstance(threshold, int) else threshold).split(".")
    for index, name in enumerate(parameter_names):
        if name.split(".")[: len(wanted)] == wanted:
            return parameter_names[:index], parameter_names[index:]
    layers = list(dict.fromkeys(name.split(".")[0] for name in parameter_names))
    raise ValueError(f"layer_threshold {threshold!r} is not a layer of this model; it has {', '.join(layers)}")


def output_layer(parameter_names: list[str]) -> list[str]:
    """Returns the names of the last layer's parameters."""
    module = parameter_names[-1].rpartition(".")[0]
    return [name for name in parameter_names if name.rpartition(".")[0] == module]


def _conv(parameter_names: list[str], index: int) -> str:
    convs = [name.removesuffix(".weight") for name in parameter_names if re.search(r"(^|\.)conv\d*\.weight$", name)]
    if index <= len(convs):
        return convs[index - 1]
    stages: dict[str, int] = {}
    for position, conv in enumerate(convs, 1):
        stages.setdefault(conv.split(".")[0], position)
    known = ", ".join(f"{stage} is {position}" for stage, position in stages.items() if "conv" not in stage)
    raise ValueError(
        f"layer_threshold {index} is not a conv of this model: "
        f"it has {len(convs)} (downsample convs not counted; {known})"
    )
