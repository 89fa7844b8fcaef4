"""All evaluators by name: the built-in ones, and those of installed packages (entry point group `relearn.evaluators`).

An evaluator turns a checkpoint into scores with intervals. A spec can name an evaluator but never import one.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from evaluators.accuracy import Accuracy
from evaluators.base import EvalResult, Evaluator, Score, TransferEvaluator
from evaluators.few_shot import FewShot
from evaluators.hessian import HessianSpectrum
from evaluators.linear_probe import LinearProbe
from evaluators.metrics import TRAINING, TRAINING_METRICS, Metric, declared, guessed
from evaluators.prediction_depth import PredictionDepth
from trainer.core.plugins import Plugin, Registry, registry

_OWN: tuple[type[Evaluator], ...] = (Accuracy, LinearProbe, FewShot, HessianSpectrum, PredictionDepth)
"""The built-in evaluators. To add one, add its class here. The default of its field `name` is its name."""

if TYPE_CHECKING:
    PLUGINS: dict[str, Plugin]
    EVALUATORS: dict[str, type[Evaluator]]
    AnyEvaluator = Evaluator
    EvaluatorSpec = Evaluator


@cache
def _known() -> Registry:
    """The registry is made on first use: a plug-in's package imports this one, and may be imported before it."""
    return registry("relearn.evaluators", Evaluator, _OWN, reserved=[TRAINING])


def __getattr__(name: str) -> Any:
    """Returns PLUGINS, EVALUATORS, AnyEvaluator or EvaluatorSpec: a part of the registry under the name to import."""
    match name:
        case "PLUGINS":
            return _known().plugins
        case "EVALUATORS":
            return _known().kinds
        case "AnyEvaluator":
            return _known().union
        case "EvaluatorSpec":
            return _known().spec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def names() -> list[str]:
    """Returns the names of all evaluators that a spec may use."""
    return list(_known().kinds)


def about(evaluator: str, score: str) -> Metric:
    """Returns the declaration of the score named `score` (such as `5shot/acc`) of `evaluator`, which may be `training`.

    If the evaluator is not installed here, because its package was removed, the declaration is guessed from the name.
    """
    if evaluator == TRAINING:
        return declared(TRAINING_METRICS, score) or Metric(score)
    kind: type[Evaluator] | None = _known().kinds.get(evaluator)
    return guessed(score) if kind is None else kind.about(score)


__all__ = [
    "EVALUATORS",
    "PLUGINS",
    "AnyEvaluator",
    "EvalResult",
    "Evaluator",
    "EvaluatorSpec",
    "Metric",
    "Score",
    "TransferEvaluator",
    "about",
    "names",
]
