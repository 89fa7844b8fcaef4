"""The evaluators by name: our own, and those of installed packages (entry point group `relearn.evaluators`).

An evaluator turns a checkpoint into scores with intervals. A spec can name an evaluator but never import one.
"""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from evaluators.accuracy import Accuracy
from evaluators.base import EvalResult, Evaluator, Score, TransferEvaluator
from evaluators.few_shot import FewShot
from evaluators.hessian import HessianSpectrum
from evaluators.linear_probe import LinearProbe
from evaluators.metrics import TRAINING, TRAINING_METRICS, Metric, declared, guessed
from evaluators.prediction_depth import PredictionDepth
from trainer.core.plugins import Plugin, discover

_OWN: tuple[type[Evaluator], ...] = (Accuracy, LinearProbe, FewShot, HessianSpectrum, PredictionDepth)
"""Our own evaluators. To add one, add its class here; its field `name` holds its name."""

if TYPE_CHECKING:
    PLUGINS: dict[str, Plugin]
    EVALUATORS: dict[str, type[Evaluator]]
    AnyEvaluator = Evaluator
    EvaluatorSpec = Evaluator


@cache
def _known() -> dict[str, Any]:
    own = {kind.model_fields["name"].default: kind for kind in _OWN}
    plugins = discover("relearn.evaluators", Evaluator, {*own, TRAINING})
    kinds = own | {name: plugin.kind for name, plugin in plugins.items() if plugin.kind is not None}
    union: Any = Union[tuple(kinds.values())]  # noqa: UP007  its members are known only now
    spec: Any = Annotated[union, Field(discriminator="name")]
    return {"PLUGINS": plugins, "EVALUATORS": kinds, "AnyEvaluator": union, "EvaluatorSpec": spec}


def __getattr__(name: str) -> Any:
    """Returns PLUGINS (what installed packages offer), EVALUATORS (all by name), AnyEvaluator or EvaluatorSpec.

    They are made on first use, because a package of evaluators imports this one and may be imported before it.
    """
    if name not in ("PLUGINS", "EVALUATORS", "AnyEvaluator", "EvaluatorSpec"):  # nothing else may start the search
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _known()[name]


def names() -> list[str]:
    """Returns the names of all evaluators that a spec may use."""
    return list(_known()["EVALUATORS"])


def about(evaluator: str, score: str) -> Metric:
    """What is declared of the score called `score` (such as `5shot/acc`) of `evaluator`, which may be `training`.

    The scores of an evaluator that is not installed here, as those of a package that is gone, are guessed by their names.
    """
    if evaluator == TRAINING:
        return declared(TRAINING_METRICS, score) or Metric(score)
    kind: type[Evaluator] | None = _known()["EVALUATORS"].get(evaluator)
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
