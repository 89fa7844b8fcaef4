"""Declares what a score means to a table, a report and a search.

A declaration holds the unit of a score, whether higher or lower is better, and whether short tables show it. Every
evaluator declares its scores (`Evaluator.metrics`), and `evaluators.about` finds a declaration by the evaluator's name.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, Self

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Better = Literal["higher", "lower"]
SHARE = "share"
"""The unit of a number from 0 to 1. It is shown in percent."""
TRAINING = "training"
"""The evaluator's name in result rows that training itself measured. A spec cannot name it as an evaluator."""


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Metric:
    """An evaluator's declaration of one score, or of all scores whose names fit a pattern.

    `name` is the whole name of the score. A placeholder such as `<K>` in `<K>shot/acc` matches any text.
    `description` is one line. `unit` is `SHARE`, a unit as it is printed (such as `ms`), or empty. `better` is None
    if neither higher nor lower is better. Short tables show only scores that are a `headline`. `n_of` is what the
    score's `n` counts, in the plural, such as `images`; it is empty if that is not stated.
    """

    name: str
    description: str = ""
    unit: str = ""
    better: Better | None = None
    headline: bool = False
    n_of: str = ""

    @classmethod
    def rate(cls, name: str, description: str = "", *, headline: bool = False, n_of: str = "") -> Self:
        """Returns the declaration of a share of which a higher value is better, such as an accuracy."""
        return cls(
            name,
            description,
            unit=SHARE,
            better="higher",
            headline=headline,
            n_of=n_of,
        )

    @property
    def share(self) -> bool:
        """Whether the score is shown in percent."""
        return self.unit == SHARE

    @property
    def label(self) -> str:
        """The unit as headings show it: `%` for shares, and empty without a unit."""
        return "%" if self.share else self.unit

    @property
    def is_pattern(self) -> bool:
        """Whether `name` has a placeholder."""
        return "<" in self.name

    def fits(self, score: str) -> bool:
        """Returns whether the declaration applies to the score named `score`."""
        return _pattern(self.name).fullmatch(score) is not None

    def as_json(self) -> dict[str, Any]:
        """Returns the fields that a result row carries so that tables can show the score."""
        return {"unit": self.unit, "better": self.better, "headline": self.headline, "n_of": self.n_of}


IMAGES, EPISODES, BATCHES = "images", "episodes", "batches"
"""What the `n` of most scores counts."""
TRAINING_METRICS = (
    Metric.rate("test_accuracy/last", "test accuracy of the last measured epoch", headline=True, n_of=IMAGES),
    Metric.rate("test_accuracy/best", "highest test accuracy of all measured epochs", n_of=IMAGES),
)
"""The declarations of the scores under `TRAINING`: the test accuracy that is measured while training."""


def declared(metrics: Iterable[Metric], score: str) -> Metric | None:
    """Returns the first of `metrics` that applies to the score named `score`, or None."""
    return next((metric for metric in metrics if metric.fits(score)), None)


def guessed(score: str) -> Metric:
    """Returns a declaration that is guessed from the name of a score that is not declared. It is always a headline.

    `top1`, `top5`, `acc`, `accuracy`, `..._acc`, `..._accuracy` and `acc_...` are shares of which higher is better.
    `loss`, `error` and `ece` are better when lower, and `..._share` is a share. Only the part after the last `/` is
    considered.
    """
    short = score.rsplit("/", 1)[-1]
    if (
        short in ("top1", "top5", "acc", "accuracy")
        or short.endswith(("_acc", "_accuracy"))
        or short.startswith("acc_")
    ):
        return Metric.rate(score, headline=True)
    if short in ("loss", "error", "ece"):
        return Metric(score, better="lower", headline=True)
    return Metric(score, unit=SHARE if short.endswith("_share") else "", headline=True)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".+".join(map(re.escape, re.split("<[^<>]*>", name))))
