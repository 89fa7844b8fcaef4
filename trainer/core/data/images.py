"""Decodes one image file to RGB pixels. The format is recognised by the file's bytes and not by its name.

EXIF orientation is not applied and transparency is dropped, as in the references' `Image.open(...).convert("RGB")`.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFile

from trainer.core.data.errors import DataProblem
from trainer.core.data.recipes import Recipe

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
OnBadImage = Literal["error", "skip", "repair"]

_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Decoded:
    """A decoded image. `image` is RGB of the recipe's size, and `mode` is PIL's name of the mode in the file."""

    image: Image.Image
    mode: str
    upscaled: bool


class _Gate:
    """Lets many threads decode at once or one repair alone, because PIL's switch for truncated images is global."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._decoding = self._repairs = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._repairs)
            self._decoding += 1
        try:
            yield
        finally:
            with self._changed:
                self._decoding -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._repairs += 1  # no decoding starts from here on
            try:
                self._changed.wait_for(lambda: not self._decoding)
                yield
            finally:
                self._repairs -= 1
                self._changed.notify_all()


_GATE = _Gate()


def decode(payload: bytes, recipe: Recipe, name: str, repair: bool = False) -> Decoded:
    """Decodes the image in `payload`. With `repair`, the missing end of a truncated image stays grey.

    Raises DataProblem E_DECODE, whose message contains `name`.
    """
    try:
        if not repair:
            with _GATE.shared():
                return _decoded(payload, recipe)
        with _GATE.alone():
            before = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = True
            try:
                return _decoded(payload, recipe)
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = before
    except Exception as error:  # the decoders raise OSError, SyntaxError, struct.error, zlib.error and more
        raise undecodable(name, len(payload), f"{type(error).__name__}: {error}", payload) from error


def fitted(pixels_HW3: np.ndarray, recipe: Recipe, name: str) -> Decoded:
    """Applies `recipe` to uint8 pixels `[H, W, 3]` that do not come from an image file.

    Raises DataProblem E_DECODE, whose message contains `name`.
    """
    if pixels_HW3.dtype != np.uint8 or pixels_HW3.ndim != 3 or pixels_HW3.shape[2] != 3:
        found = f"{pixels_HW3.dtype} {list(pixels_HW3.shape)}"
        raise undecodable(name, pixels_HW3.nbytes, f"its pixels are {found}, not uint8 [H, W, 3]")
    try:
        return _fitted(Image.fromarray(pixels_HW3), recipe)
    except ValueError as error:
        raise undecodable(name, pixels_HW3.nbytes, str(error)) from error


def undecodable(name: str, size: int, why: str, payload: bytes = b"") -> DataProblem:
    """Returns DataProblem E_DECODE. Its message shows the first bytes of `payload` if that is not an image at all."""
    starts = f" (it starts with {payload[:16]!r})" if "UnidentifiedImageError" in why and payload else ""
    remedy = "fetch the file again, or leave such images out with on-bad-image skip, or fill truncated ones with repair"
    return DataProblem("E_DECODE", f"{name} ({size:,} bytes) cannot be decoded: {why.split(' <')[0]}{starts}; {remedy}")


def rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to RGB. Raises ValueError if the mode does not define which value is white."""
    if image.mode == "RGB":
        return image
    image = _eight_bits(image)
    if image.mode in ("P", "PA"):
        image.info.pop("transparency", None)  # PIL would warn about it and drop it anyway
    return image.convert("RGB")


def _decoded(payload: bytes, recipe: Recipe) -> Decoded:
    with Image.open(io.BytesIO(payload), formats=FORMATS) as image:
        width, height = image.size
        if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
            most = f"{Image.MAX_IMAGE_PIXELS:,}"
            raise Image.DecompressionBombError(f"{width} x {height} px are more than the {most} px that are held safe")
        return _fitted(image, recipe)


def _fitted(image: Image.Image, recipe: Recipe) -> Decoded:
    mode = image.mode
    if recipe.crop_bottom_px:
        if image.height <= recipe.crop_bottom_px:
            raise ValueError(f"it is {image.height} px high, and crop_bottom_px is {recipe.crop_bottom_px}")
        image = image.crop((0, 0, image.width, image.height - recipe.crop_bottom_px))
    upscaled = min(image.size) < recipe.size
    if recipe.first_px is not None:
        image = _eight_bits(image).resize((recipe.first_px, recipe.first_px))
    image = recipe.fit(rgb(image))
    image.load()
    return Decoded(image, mode, upscaled)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey to 0..255, which PIL's own conversion would clip. Returns other modes unchanged."""
    if image.mode == "F":
        raise ValueError("floating-point images say nothing about which value is white")
    if image.mode not in _SIXTEEN_BITS:
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"32-bit values {values.min()}..{values.max()} say nothing about which value is white")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
