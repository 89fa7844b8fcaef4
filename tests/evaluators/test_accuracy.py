import math

import pytest
import torch
from torch import nn

from evaluators.accuracy import Accuracy, reliability
from trainer.core.data import Dataset, Split, named
from trainer.core.models import DigitsResNet, build


class Table(nn.Module):
    """Answers with the logits that the pixels of an image name: row `i` of a table for an image of value i."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(logits, dtype=torch.float64))

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return self.table[(images_NCHW[:, 0, 0, 0] * 255).round().long()]


def tabulated(probabilities: list[list[float]], labels: list[int]) -> tuple[nn.Module, Dataset]:
    """A network and data on which image i has these probabilities and this label."""
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    split = Split(images, torch.tensor(labels))
    classes = tuple("abcdefghij"[: len(probabilities[0])])
    return Table([[math.log(p) for p in row] for row in probabilities]), Dataset(
        "table",
        classes,
        split,
        split,
        (0,) * 3,
        (1,) * 3,
    )


def test_accuracy_counts_one_image_at_a_time(network: nn.Module, digits: Dataset) -> None:
    top1 = top5 = 0
    loss = 0.0
    right, of_class = [0] * 10, [0] * 10
    for image, label in zip(digits.test.images_NCHW, digits.test.labels_N.tolist(), strict=True):
        with torch.no_grad():
            scores = network(digits.floats(image[None], torch.float64))[0].tolist()
        above = sum(score > scores[label] for score in scores)
        top1 += above < 1
        top5 += above < 5
        right[label] += above < 1
        of_class[label] += 1
        loss += math.log(sum(math.exp(score - scores[label]) for score in scores)) / 896
    found = Accuracy().run(network, digits, digits)
    result = found.scores
    assert result["top1"].value == top1 / 896
    assert result["top5"].value == top5 / 896
    assert result["loss"].value == pytest.approx(loss, abs=1e-12)
    assert set(result) == {"top1", "top5", "loss", "ece"}
    assert {score.n for score in result.values()} == {896}
    for name in ("top1", "top5", "loss"):
        low = result[name].low
        assert low is not None
        assert low < result[name].value
    assert found.curves["per_class/n"] == of_class
    assert found.curves["per_class/acc"] == [hits / n for hits, n in zip(right, of_class, strict=True)]
    assert min(right) < max(right), "classes in another order would not show"


def test_calibration_error_is_the_gap_weighted_by_images() -> None:
    # bins of a fifteenth: 0.62 and 0.65 in the tenth, 0.7 in the eleventh, 0.95 in the fifteenth
    rows = [[0.62, 0.38], [0.35, 0.65], [0.7, 0.3], [0.95, 0.05], [0.05, 0.95]]
    model, data = tabulated(rows, [0, 0, 0, 1, 1])
    result = Accuracy().run(model, data, data)
    assert result.curves["ece/n"] == [0] * 9 + [2, 1] + [0] * 3 + [2]
    assert result.curves["ece/confidence"] == pytest.approx([0] * 9 + [0.635, 0.7] + [0] * 3 + [0.95])
    assert result.curves["ece/accuracy"] == [0] * 9 + [0.5, 1.0] + [0] * 3 + [0.5]
    gap = (2 * (0.635 - 0.5) + (1 - 0.7) + 2 * (0.95 - 0.5)) / 5
    assert result.scores["ece"].model_dump() == {
        "value": pytest.approx(gap, abs=1e-12),
        "n": 5,
        "low": None,
        "high": None,
    }


def test_calibration_of_the_network_in_a_plain_loop(network: nn.Module, digits: Dataset) -> None:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    with torch.no_grad():
        probabilities = network(digits.floats(digits.test.images_NCHW, torch.float64)).softmax(1).tolist()
    for row, label in zip(probabilities, digits.test.labels_N.tolist(), strict=True):
        bins[math.ceil(max(row) * 15) - 1].append((max(row), row.index(max(row)) == label))
    gaps = [abs(sum(confidence - right for confidence, right in each)) for each in bins]
    result = Accuracy().run(network, digits, digits)
    assert result.scores["ece"].value == pytest.approx(sum(gaps) / 896, abs=1e-12)
    assert result.scores["ece"].value > 0.01, "a network without a gap would not show"
    assert result.curves["ece/n"] == [len(each) for each in bins]


def test_a_bin_is_closed_above() -> None:
    edge = torch.tensor([1 / 15, 3 / 15, 1.0], dtype=torch.float64)
    above = torch.tensor([math.nextafter(1 / 15, 1), math.nextafter(3 / 15, 1)], dtype=torch.float64)
    assert reliability(edge, edge)[0].nonzero().flatten().tolist() == [0, 2, 14]
    assert reliability(above, above)[0].nonzero().flatten().tolist() == [1, 3]


def test_a_class_without_test_images_has_none_right() -> None:
    model, data = tabulated([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [0, 0])
    result = Accuracy().run(model, data, data)
    assert result.curves["per_class/n"] == [2, 0, 0]
    assert result.curves["per_class/acc"] == [0.5, 0, 0]


def test_five_classes_have_no_top5() -> None:
    half = named("digits-0-4").load()
    result = Accuracy().run(build(DigitsResNet(width=1), classes=5, seed=0), half, half)
    assert set(result.scores) == {"top1", "loss", "ece"}


def test_stored_results_without_calibration_are_judged_again() -> None:
    assert Accuracy.version == 2
