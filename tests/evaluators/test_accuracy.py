import math

import pytest
import torch
from torch import nn

from evaluators.accuracy import Accuracy
from trainer.core.data import Dataset, named
from trainer.core.models import DigitsResNet, build


def test_accuracy_counts_one_image_at_a_time(network: nn.Module, digits: Dataset) -> None:
    top1 = top5 = 0
    loss = 0.0
    for image, label in zip(digits.test.images_NCHW, digits.test.labels_N.tolist(), strict=True):
        with torch.no_grad():
            scores = network(digits.floats(image[None], torch.float64))[0].tolist()
        above = sum(score > scores[label] for score in scores)
        top1 += above < 1
        top5 += above < 5
        loss += math.log(sum(math.exp(score - scores[label]) for score in scores)) / 896
    result = Accuracy().run(network, digits, digits).scores
    assert result["top1"].value == top1 / 896
    assert result["top5"].value == top5 / 896
    assert result["loss"].value == pytest.approx(loss, abs=1e-12)
    assert {score.n for score in result.values()} == {896}
    assert all(score.low is not None and score.low < score.value for score in result.values())


def test_five_classes_have_no_top5() -> None:
    half = named("digits-0-4").load()
    result = Accuracy().run(build(DigitsResNet(width=1), classes=5, seed=0), half, half)
    assert set(result.scores) == {"top1", "loss"}
