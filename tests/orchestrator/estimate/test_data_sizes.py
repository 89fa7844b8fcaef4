from pathlib import Path

import pytest

from orchestrator.estimate.data_sizes import DataSizes, data_sizes
from trainer.core import data
from trainer.core.data.digits import Digits, DigitsNoisy


@pytest.mark.parametrize(
    "spec", [Digits(), DigitsNoisy(train_per_class=3), Digits(holdout=0.2), data.named("digits-0-4")]
)
def test_sizes_of_built_in_data_are_those_of_the_loaded_data(spec: data.AnyData) -> None:
    whole = spec.load()
    pixels = whole.train.images_NCHW.shape[-1]
    assert data_sizes(spec) == DataSizes(len(whole.train), len(whole.test), len(whole.classes), pixels)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cifar100", DataSizes(50_000, 10_000, 100, 32)),
        ("cifar100%0.1", DataSizes(45_000, 5_000, 100, 32)),
        ("tiny-imagenet", DataSizes(100_000, 10_000, 200, 64)),
        ("eurosat", DataSizes(27_000, 0, 10, 224)),
        ("flowers102@probe-64", DataSizes(1_020, 6_149, 102, 64)),
        ("folder:mine", None),
    ],
)
def test_sizes_of_data_that_is_not_prepared_come_from_its_facts(
    text: str, wanted: DataSizes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path))
    assert data_sizes(data.named(text)) == wanted
