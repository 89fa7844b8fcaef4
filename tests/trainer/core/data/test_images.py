"""Decoding by content, every mode, and the three policies' halves: refusing, and repairing one image alone."""

import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.trainer.core.data.builders import PX, encoded, pixels, smooth
from trainer.core.data.errors import DataProblem
from trainer.core.data.images import Decoded, decode, fitted
from trainer.core.data.recipes import Recipe

AS_IT_IS = Recipe(PX, resize="none")
NOISE = pixels(0)
GREY = NOISE[:, :, 0]


def through(image: Image.Image, kind: str = "PNG") -> tuple[np.ndarray, str]:
    """Returns pixels and reported mode of a file made of `image`."""
    one = decode(encoded(image, kind), AS_IT_IS, "it")
    return np.asarray(one.image), one.mode


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG", "WEBP"])
def test_the_bytes_decide_and_lossless_files_keep_every_pixel(kind: str) -> None:
    image = Image.fromarray(NOISE)
    if kind == "GIF":
        image = image.quantize(200)
    found, _ = through(image, kind)
    assert found.shape == (PX, PX, 3)
    if kind not in ("JPEG", "WEBP"):
        assert np.array_equal(found, np.asarray(image.convert("RGB")))


def test_grey_becomes_three_equal_channels() -> None:
    found, mode = through(Image.fromarray(GREY))
    assert mode == "L"
    assert np.array_equal(found, np.stack([GREY] * 3, 2))


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_dropped_and_colours_stay(channels: int) -> None:
    whole = np.random.default_rng(1).integers(0, 256, (PX, PX, channels), dtype=np.uint8)
    found, mode = through(Image.fromarray(whole))
    assert mode == {2: "LA", 4: "RGBA"}[channels]
    assert np.array_equal(found, whole[:, :, :3] if channels == 4 else np.stack([whole[:, :, 0]] * 3, 2))


@pytest.mark.parametrize("transparent", [None, 3, bytes(range(200))])
def test_a_palette_is_looked_up_and_its_transparency_dropped(transparent: int | bytes | None) -> None:
    image = Image.fromarray(NOISE).quantize(200)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    if transparent is not None:
        image.info["transparency"] = transparent
    found, mode = through(image)
    assert mode == "P"
    assert np.array_equal(found, palette[np.asarray(image)])


def test_bits_become_black_and_white() -> None:
    bits = GREY > 127
    found, mode = through(Image.fromarray(bits))
    assert mode == "1"
    assert np.array_equal(found, np.stack([bits * 255] * 3, 2))


def test_cmyk_is_converted() -> None:
    inks = np.zeros((PX, PX, 4), dtype=np.uint8)
    inks[:, :8, 0], inks[:, 8:, 3] = 255, 255  # cyan, and black
    found, mode = through(Image.fromarray(inks, "CMYK"), "TIFF")
    assert mode == "CMYK"
    assert found[0, 0].tolist() == [0, 255, 255]
    assert found[0, 15].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("PPM", "I")])
def test_16_bits_are_scaled_and_not_clipped(kind: str, mode: str) -> None:
    wide = np.random.default_rng(2).integers(0, 65536, (PX, PX)).astype(np.uint16)
    wide[0, :2] = 0, 65535
    found, found_mode = through(Image.fromarray(wide), kind)
    assert found_mode == mode
    assert np.array_equal(found[:, :, 1], np.round(wide / 257).astype(np.uint8))


@pytest.mark.parametrize(
    "values", [np.full((PX, PX), 0.5, dtype=np.float32), np.full((PX, PX), 70_000, dtype=np.int32)]
)
def test_numbers_without_a_white_are_refused(values: np.ndarray) -> None:
    with pytest.raises(DataProblem, match="say nothing about which value is white"):
        through(Image.fromarray(values), "TIFF")


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", r"a/b.jpg \(0 bytes\) cannot be decoded: UnidentifiedImageError"),
        (b"<!DOCTYPE html><p>Please log in", r"it starts with b'<!DOCTYPE html>"),
        (encoded(smooth(0, PX, PX), "JPEG")[:-2], r"bytes\) cannot be decoded: OSError: image file is truncated"),
        (encoded(smooth(0, PX, PX))[:-40], "fill truncated ones with repair"),
        (encoded(smooth(0, PX, PX), "ICO"), "UnidentifiedImageError"),
        (encoded(smooth(0, PX, PX + 1)), "it is 16 x 17 px, where the recipe takes 16 x 16 px"),
    ],
)
def test_what_is_no_whole_image_is_told_by_name_size_and_reason(payload: bytes, says: str) -> None:
    with pytest.raises(DataProblem, match=says) as caught:
        decode(payload, AS_IT_IS, "a/b.jpg")
    assert caught.value.code == "E_DECODE"


@pytest.mark.parametrize("side", [10_000, 30_000])
@pytest.mark.parametrize("action", ["ignore", "error"])
def test_a_decompression_bomb_is_refused_whatever_the_warning_filters_say(side: int, action: str) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]
        with pytest.raises(DataProblem, match=r"E_DECODE: bomb\.png .*DecompressionBomb"):
            decode(bomb, Recipe(64), "bomb.png")


def test_a_repair_keeps_what_is_there_and_leaves_the_switch_as_it_was() -> None:
    image = smooth(3, 64, 64)
    whole = encoded(image, "JPEG")
    found = np.asarray(decode(whole[:-400], Recipe(64), "cut.jpg", repair=True).image)
    undamaged = np.asarray(decode(whole, Recipe(64), "whole.jpg").image)
    assert np.array_equal(found[:16], undamaged[:16])
    assert not np.array_equal(found, undamaged)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_what_repair_cannot_help_is_refused_and_the_switch_goes_back() -> None:
    with pytest.raises(DataProblem, match="E_DECODE"):
        decode(b"no image", AS_IT_IS, "it", repair=True)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_while_one_thread_repairs_no_other_accepts_a_truncated_image() -> None:
    cut = encoded(smooth(4, 256, 256), "JPEG")[:-200]
    accepted, repaired = list[Decoded](), list[Decoded]()

    def refuse() -> None:
        for _ in range(40):
            try:
                accepted.append(decode(cut, Recipe(64), "it"))
            except DataProblem:
                continue

    def repair() -> None:
        repaired.extend(decode(cut, Recipe(64), "it", repair=True) for _ in range(40))

    threads = [threading.Thread(target=each) for each in (refuse, repair, refuse, repair)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(accepted), len(repaired)) == (0, 80)


@pytest.mark.parametrize(("size", "upscaled"), [((64, 64), False), ((63, 100), True), ((100, 63), True)])
def test_an_image_smaller_than_the_recipe_counts_as_upscaled(size: tuple[int, int], upscaled: bool) -> None:
    assert decode(encoded(smooth(5, *size)), Recipe(64), "it").upscaled is upscaled


def test_pixels_of_a_reader_must_be_uint8_rgb() -> None:
    with pytest.raises(DataProblem, match=r"E_DECODE: row 3 .*its pixels are float64 \[16, 16\]"):
        fitted(np.zeros((PX, PX)), AS_IT_IS, "row 3")
