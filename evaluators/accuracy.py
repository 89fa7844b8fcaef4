"""Test accuracy, the number of SEAL's Tables 2, 7 and 8 (arXiv 2304.04858; protocols 2.7).

Legend: N test images, C classes.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator
from evaluators.features import logits
from trainer.core.data import Dataset


class Accuracy(Evaluator):
    """Top-1 accuracy (and top-5 where there are more than five classes) and plain cross-entropy on the test
    images."""

    name: Literal["accuracy"] = "accuracy"

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Scores `top1` (share of N, Wilson interval), `loss` (nats per image, no smoothing) and, if C > 5,
        `top5`."""
        logits_NC = logits(model, target.test.images_NCHW, target).double()
        labels_N = target.test.labels_N.to(logits_NC.device)
        scores = {
            "top1": intervals.share(_hits(logits_NC, labels_N, 1), len(labels_N)),
            "loss": intervals.mean(functional.cross_entropy(logits_NC, labels_N, reduction="none")),
        }
        if logits_NC.shape[1] > 5:
            scores["top5"] = intervals.share(_hits(logits_NC, labels_N, 5), len(labels_N))
        return EvalResult(scores=scores)


def _hits(logits_NC: Tensor, labels_N: Tensor, k: int) -> int:
    return int((logits_NC.topk(k).indices == labels_N[:, None]).sum())
