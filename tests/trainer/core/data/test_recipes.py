"""Recipes against torchvision's transforms and the references' own calls, pixel by pixel."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from tests.trainer.core.data.builders import encoded, pixels, smooth
from trainer.core.data.images import decode, fitted
from trainer.core.data.recipes import NAMES, Recipe, named

SIZES = ((500, 375), (375, 501), (300, 299), (64, 64), (33, 400))
RESIZE, CROP = transforms.Resize, transforms.CenterCrop


@pytest.mark.parametrize("width_height", SIZES)
@pytest.mark.parametrize(
    ("recipe", "theirs"),
    [
        (named("train-64", "cub200"), [RESIZE((64, 64))]),
        (named("probe-64", "tiny-imagenet"), [RESIZE((64, 64))]),
        (named("probe-224", "cub200"), [RESIZE((256, 256)), CROP(224)]),
        (named("cdfsl-224", "isic2018"), [RESIZE([int(224 * 1.15)] * 2), CROP(224)]),
        (named("cdfsl-64", "eurosat"), [RESIZE([int(64 * 1.15)] * 2), CROP(64)]),
        (Recipe(224, "short_side", 256 / 224, "center"), [RESIZE(256), CROP(224)]),
        (Recipe(31, "short_side", 1.0, "center"), [RESIZE(31), CROP(31)]),
    ],
)
def test_a_recipe_gives_the_pixels_of_torchvisions_transforms(
    width_height: tuple[int, int], recipe: Recipe, theirs: list[Callable[[Image.Image], Image.Image]]
) -> None:
    image = smooth(1, *width_height)
    expected = transforms.Compose(theirs)(image)
    assert expected.size == (recipe.size, recipe.size)
    assert np.array_equal(np.asarray(recipe.fit(image)), np.asarray(expected))


def test_chestx_is_made_256_square_before_it_is_rgb_as_the_reference_does() -> None:
    image = Image.fromarray(pixels(0, 100, 90)).convert("RGBA")
    image.putalpha(Image.fromarray(pixels(1, 100, 90)[:, :, 0]))
    recipe = named("cdfsl-224", "chestx")
    reference = transforms.Compose([RESIZE([257, 257]), CROP(224)])(image.resize((256, 256)).convert("RGB"))
    from_rgb = transforms.Compose([RESIZE([257, 257]), CROP(224)])(image.convert("RGB").resize((256, 256)))
    assert not np.array_equal(np.asarray(reference), np.asarray(from_rgb))
    with_alpha = encoded_and_decoded(image, recipe)
    assert np.array_equal(with_alpha, np.asarray(reference))


def encoded_and_decoded(image: Image.Image, recipe: Recipe) -> np.ndarray:

    return np.asarray(decode(encoded(image), recipe, "a.png").image)


@pytest.mark.parametrize(("dataset", "px"), [("tiny-imagenet", 64), ("cifar10", 32), ("cifar100", 32), ("eurosat", 64)])
def test_native_leaves_every_pixel_as_it_is(dataset: str, px: int) -> None:
    recipe = named("native", dataset)
    image = pixels(0, px, px)
    assert recipe.size == px
    assert np.array_equal(np.asarray(fitted(image, recipe, "it").image), image)


def test_train_64_is_native_where_the_images_are_that_large() -> None:
    assert named("train-64", "tiny-imagenet") == named("native", "tiny-imagenet")
    assert named("train-64", "cifar10") == Recipe(64)


def test_the_bottom_is_cut_before_anything_else() -> None:
    image = smooth(2, 80, 100)
    ours = fitted(np.asarray(image), Recipe(32, crop_bottom_px=20), "it").image
    assert np.array_equal(
        np.asarray(ours), np.asarray(image.crop((0, 0, 80, 80)).resize((32, 32), Image.Resampling.BILINEAR))
    )


def test_the_key_is_the_sha256_of_the_canonical_json() -> None:
    text = (
        '{"crop":"none","crop_bottom_px":0,"decoder":"pil","first_px":null,"interpolation":"bilinear","pillow":"12.0.0",'
        '"ratio":1.0,"resize":"squash","size":64}'
    )
    recipe = Recipe(64, pillow="12.0.0")
    assert recipe.key == hashlib.sha256(text.encode()).hexdigest()[:8]
    assert recipe.folder == f"64px-{recipe.key}"


def test_every_field_changes_the_key() -> None:
    one = Recipe(64, ratio=1.15, crop="center")
    others = [
        replace(one, size=63),
        replace(one, ratio=1.2),
        replace(one, resize="short_side"),
        replace(one, ratio=1.0, crop="none"),
        replace(one, crop_bottom_px=20),
        replace(one, first_px=256),
        replace(one, pillow="1"),
    ]
    assert len({each.key for each in [one, *others]}) == 1 + len(others)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Recipe(64, ratio=1.15), "without a crop"),
        (lambda: Recipe(64, "short_side"), "set crop='center'"),
        (lambda: Recipe(64, "none", 1.15, "center"), "ratio must be 1"),
        (lambda: Recipe(size=0), "size"),
        (lambda: named("train-65", "cub200"), f"recipe must be one of {', '.join(NAMES)}, got 'train-65'"),
        (lambda: named("native", "cub200"), "of several sizes"),
        (lambda: named("native", "isic2018"), "600 x 450"),
    ],
)
def test_a_wrong_recipe_is_refused(make: Callable[[], Recipe], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
