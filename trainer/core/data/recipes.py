"""Recipes, which define how an image file becomes S x S pixels.

A recipe is part of a cache's identity, because other resizing gives other data. Sizes and order of the steps follow the
references (LLF, KE, CD-FSL), which apply torchvision's Resize and CenterCrop to PIL images.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Annotated, Any, Literal

import PIL
from PIL import Image
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from trainer.core.data.facts import FACTS

NAMES = ("native", "train-64", "probe-64", "probe-224", "cdfsl-64", "cdfsl-224")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """The steps from an image to `size` x `size` pixels.

    The image loses `crop_bottom_px` rows at the bottom, is resized to a square of `first_px`, converted to RGB, resized
    to int(size * ratio) and cropped to `size`. With `resize` "squash" both sides get that length, with "short_side" the
    shorter side does, and with "none" the image is not resized.
    """

    size: Annotated[int, Field(ge=1, le=4096)]
    resize: Literal["none", "squash", "short_side"] = "squash"
    ratio: Annotated[float, Field(ge=1, le=4)] = 1.0
    crop: Literal["center", "none"] = "none"
    interpolation: Literal["bilinear"] = "bilinear"
    crop_bottom_px: Annotated[int, Field(ge=0)] = 0
    first_px: Annotated[int, Field(ge=1, le=4096)] | None = None
    """The side of the first resizing, or None for no such step. It happens before the conversion to RGB and uses the
    default filter of PIL's `Image.resize`, as CD-FSL's loader of ChestX does."""
    decoder: Literal["pil"] = "pil"
    pillow: str = PIL.__version__

    def __post_init__(self) -> None:
        if self.crop == "none" and (self.resize == "short_side" or self.resized_px != self.size):
            found = f"resize={self.resize!r} to {self.resized_px} px without a crop"
            raise ValueError(f"a recipe must end at {self.size} x {self.size} px, got {found}; set crop='center'")
        if self.resize == "none" and self.ratio != 1:
            raise ValueError(f"ratio must be 1 where nothing is resized, got {self.ratio}")

    @property
    def resized_px(self) -> int:
        return int(self.size * self.ratio)

    @property
    def key(self) -> str:
        """The first 8 hexadecimal digits of the sha256 of the recipe's canonical JSON."""
        return hashlib.sha256(canonical(asdict(self)).encode()).hexdigest()[:8]

    @property
    def folder(self) -> str:
        return f"{self.size}px-{self.key}"

    def fit(self, image: Image.Image) -> Image.Image:
        """Returns the RGB image `image` as `size` x `size` pixels. Raises ValueError if the recipe does not fit it."""
        image = self._resized(image)
        width, height = image.size
        if self.crop == "center" and min(width, height) >= self.size:
            # halves are rounded to even, as in torchvision
            left, top = round((width - self.size) / 2), round((height - self.size) / 2)
            image = image.crop((left, top, left + self.size, top + self.size))
        if image.size != (self.size, self.size):
            raise ValueError(
                f"it is {width} x {height} px, where the recipe takes {self.size} x {self.size} px unresized"
            )
        return image

    def _resized(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        to = self.resized_px
        match self.resize:
            case "none":
                return image
            case "squash":
                return image.resize((to, to), Image.Resampling.BILINEAR)
            case "short_side":
                longer = int(to * max(width, height) / min(width, height))
                return image.resize((to, longer) if width <= height else (longer, to), Image.Resampling.BILINEAR)


def canonical(value: Any) -> str:
    """Returns JSON text that is equal exactly when the values are equal."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def named(name: str, dataset: str) -> Recipe:
    """Returns the recipe `name` for `dataset`. Raises ValueError if it is unknown or does not suit the data set.

    `native` leaves the pixels as they are distributed, and so does `train-64` if they are 64 x 64.
    """
    native = FACTS[dataset].native_px if dataset in FACTS else None
    first = 256 if dataset == "chestx" else None
    match name:
        case "native" if native is None or native[0] != native[1]:
            found = "of several sizes" if native is None else f"{native[0]} x {native[1]} px"
            raise ValueError(
                f"recipe native is for square images of one size, and those of {dataset} are {found}: take train-64"
            )
        case "native" if native is not None:
            return Recipe(size=native[0], resize="none")
        case "train-64" if native == (64, 64):
            return Recipe(size=64, resize="none")
        case "train-64" | "probe-64":
            return Recipe(size=64, first_px=first)
        case "probe-224":
            return Recipe(size=224, ratio=256 / 224, crop="center", first_px=first)
        case "cdfsl-64" | "cdfsl-224":
            return Recipe(size=int(name.removeprefix("cdfsl-")), ratio=1.15, crop="center", first_px=first)
    raise ValueError(f"recipe must be one of {', '.join(NAMES)}, got {name!r}")
