"""What a score means to a table, a report and a search: its unit, which way is better, and whether it stands in a short table.

Every evaluator declares its scores (`Evaluator.metrics`); `evaluators.about` finds the declaration by the evaluator's name.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, Self

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Better = Literal["higher", "lower"]
SHARE = "share"
"""The unit of a number from 0 to 1 that is shown in percent."""
TRAINING = "training"
"""The name in result rows of what training itself measures after its epochs; it is no evaluator that a spec can name."""


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Metric:
    """A score, or all scores whose names fit a pattern, as their evaluator declares them.

    `name` is the whole name of the score; a placeholder such as `<K>` in it stands for any text: `<K>shot/acc`. The
    description is one line. `unit` is `SHARE`, a unit as it is printed (such as `ms`), or empty. `better` is None where neither
    way is. A `headline` stands in tables that do not show everything.
    """

    name: str
    description: str = ""
    unit: str = ""
    better: Better | None = None
    headline: bool = False

    @classmethod
    def rate(cls, name: str, description: str = "", *, headline: bool = False) -> Self:
        """A share of which a higher one is better, such as an accuracy."""
        return cls(name, description, unit=SHARE, better="higher", headline=headline)

    @property
    def share(self) -> bool:
        """Whether the score is shown in percent."""
        return self.unit == SHARE

    @property
    def label(self) -> str:
        """The unit as a heading names it: `%` for shares, empty where there is none."""
        return "%" if self.share else self.unit

    @property
    def is_pattern(self) -> bool:
        """Whether `name` has a placeholder."""
        return "<" in self.name

    def fits(self, score: str) -> bool:
        """Whether the declaration is of the score called `score`."""
        return _pattern(self.name).fullmatch(score) is not None

    def as_json(self) -> dict[str, Any]:
        """What a table needs to show the score, as result rows carry it."""
        return {"unit": self.unit, "better": self.better, "headline": self.headline}


TRAINING_METRICS = (
    Metric.rate("test_accuracy/last", "test accuracy of the last measured epoch", headline=True),
    Metric.rate("test_accuracy/best", "highest test accuracy of all measured epochs"),
)
"""The accuracy while training, by the name `TRAINING`."""


def declared(metrics: Iterable[Metric], score: str) -> Metric | None:
    """The first of `metrics` that is of the score called `score`; None where none is."""
    return next((metric for metric in metrics if metric.fits(score)), None)


def guessed(score: str) -> Metric:
    """What the name of a score suggests where nothing declares it: always a headline.

    `top1`, `top5`, `acc`, `accuracy`, `..._acc`, `..._accuracy` and `acc_...` are shares where higher is better, `loss`,
    `error` and `ece` are better when lower, and `..._share` is a share. Only the part after the last `/` counts.
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
