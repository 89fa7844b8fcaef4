from pathlib import Path

import pytest

from orchestrator.estimate.data_sizes import Extents, extents
from trainer.core import data
from trainer.core.data.digits import Digits, DigitsNoisy


@pytest.mark.parametrize(
    "spec", [Digits(), DigitsNoisy(train_per_class=3), Digits(holdout=0.2), data.named("digits-0-4")]
)
def test_what_is_built_in_is_as_large_as_what_is_loaded(spec: data.AnyData) -> None:
    whole = spec.load()
    pixels = whole.train.images_NCHW.shape[-1]
    assert extents(spec) == Extents(len(whole.train), len(whole.test), len(whole.classes), pixels)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cifar100", Extents(50_000, 10_000, 100, 32)),
        ("cifar100%0.1", Extents(45_000, 5_000, 100, 32)),
        ("tiny-imagenet", Extents(100_000, 10_000, 200, 64)),
        ("eurosat", Extents(27_000, 0, 10, 224)),
        ("flowers102@probe-64", Extents(1_020, 6_149, 102, 64)),
        ("folder:mine", None),
    ],
)
def test_what_is_not_prepared_is_known_by_its_facts(
    text: str, wanted: Extents | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path))
    assert extents(data.named(text)) == wanted
