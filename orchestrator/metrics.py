"""What is known of the scores by name: which are shares, which way is better, and which stand in a short table."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """How a score is shown and compared. A share is shown in percent; `better` is None where neither way is."""

    share: bool = False
    better: Better | None = None
    headline: bool = False


_RATE = Metric(share=True, better="higher")
_RATE_FIRST = Metric(share=True, better="higher", headline=True)
_KNOWN: dict[str, dict[str, Metric]] = {
    "accuracy": {"top1": _RATE_FIRST, "top5": _RATE, "loss": Metric(better="lower"), "ece": Metric(better="lower")},
    "linear-probe": {"acc": _RATE_FIRST, "acc_heldout": _RATE_FIRST, "last": _RATE, "best": _RATE},
    "few-shot": {"acc": _RATE_FIRST},
    "hessian-spectrum": {
        "max": Metric(headline=True),
        "negative_share": Metric(share=True, headline=True),
        "converged_share": Metric(share=True),
    },
    "prediction-depth": {"knn_acc": _RATE_FIRST, "mean_depth": Metric(headline=True)},
    "training": {"last": _RATE_FIRST, "best": _RATE},
}
"""By evaluator and the last part of the score's name. What is not listed of these evaluators is plain, without a better way."""


def about(evaluator: str, metric: str) -> Metric:
    """What is known of the score `metric` (such as `5shot/acc`) of `evaluator`.

    The scores of an evaluator of another package are all headlines; their names say whether they are shares.
    """
    short = metric.rsplit("/", 1)[-1]
    if evaluator not in _KNOWN:
        return _guessed(short)
    found = _KNOWN[evaluator].get(short, Metric())
    if found.headline and metric.startswith("lr"):  # one of several learning rates
        return Metric(found.share, found.better)
    return found


def _guessed(short: str) -> Metric:
    if (
        short in ("top1", "top5", "acc", "accuracy")
        or short.endswith(("_acc", "_accuracy"))
        or short.startswith("acc_")
    ):
        return _RATE_FIRST
    if short in ("loss", "error", "ece"):
        return Metric(better="lower", headline=True)
    return Metric(share=short.endswith("_share"), headline=True)
