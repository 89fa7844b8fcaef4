"""Test accuracy, the number of SEAL's Tables 2, 7 and 8 (arXiv 2304.04858; protocols 2.7), and calibration.

Legend: N test images, C classes, M bins of confidence.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator, Score
from evaluators.features.forward import logits
from evaluators.metrics import IMAGES, Metric
from trainer.core.data import Dataset

BINS = 15


class Accuracy(Evaluator):
    """Top-1 accuracy, cross-entropy, calibration and the accuracy of each class on the test images.

    Top-5 accuracy is added if there are more than five classes. The network is that of the checkpoint, after the last
    epoch of its generation: nothing is selected.
    """

    version: ClassVar[int] = 2  # 2: calibration and classes
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric.rate("top1", "test accuracy", headline=True, n_of=IMAGES),
        Metric.rate("top5", "share of images with the right class among the first five", n_of=IMAGES),
        Metric("loss", "cross-entropy without label smoothing, in nats per image", better="lower", n_of=IMAGES),
        Metric("ece", f"expected calibration error over {BINS} bins", better="lower", n_of=IMAGES),
    )

    name: Literal["accuracy"] = "accuracy"

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Evaluates `model` on the N test images of `target`.

        Scores: `top1` (share of N, Wilson interval), `loss` (nats per image, no smoothing), `ece` (see `reliability`;
        no interval, because the estimate is biased upwards) and, if C > 5, `top5`.

        Curves: `per_class/acc` and `per_class/n` in the order of the classes, `ece/confidence`, `ece/accuracy` and
        `ece/n` in the order of the bins. If a class or bin has no images (n is 0), its other values are 0.
        """
        logits_NC = logits(model, target.test.images_NCHW, target).double().cpu()
        labels_N = target.test.labels_N.cpu()
        N, C = logits_NC.shape
        right_N = (logits_NC.argmax(1) == labels_N).double()
        count_C, right_C = _grouped(labels_N, C, right_N)
        count_M, confidence_M, accuracy_M = reliability(logits_NC.softmax(1).amax(1), right_N)
        scores = {
            "top1": intervals.share(int(right_N.sum()), N),
            "loss": intervals.mean(functional.cross_entropy(logits_NC, labels_N, reduction="none")),
            "ece": Score(value=float(((accuracy_M - confidence_M).abs() * count_M).sum() / N), n=N),
        }
        if C > 5:
            scores["top5"] = intervals.share(int((logits_NC.topk(5).indices == labels_N[:, None]).sum()), N)
        curves = {
            "per_class/acc": right_C,
            "per_class/n": count_C,
            "ece/confidence": confidence_M,
            "ece/accuracy": accuracy_M,
            "ece/n": count_M,
        }
        return EvalResult(scores=scores, curves={name: values.tolist() for name, values in curves.items()})


def reliability(confidence_N: Tensor, right_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns images, mean confidence and accuracy `[M]` of equal-width bins of the top-1 probability.

    A bin is open below and closed above, ((m - 1) / M, m / M]. The mean gap |accuracy - confidence|, weighted by
    images, is the expected calibration error (Guo et al. 2017, section 2, eq. 3).
    """
    edges = torch.arange(1, BINS, dtype=torch.float64) / BINS
    bin_N = torch.bucketize(confidence_N, edges)
    count_M, confidence_M = _grouped(bin_N, BINS, confidence_N)
    return count_M, confidence_M, _grouped(bin_N, BINS, right_N)[1]


def _grouped(group_N: Tensor, groups: int, values_N: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the size and the mean of each group. The mean of an empty group is 0."""
    count = torch.bincount(group_N, minlength=groups).double()
    return count, torch.bincount(group_N, values_N, minlength=groups) / count.clamp(min=1)
