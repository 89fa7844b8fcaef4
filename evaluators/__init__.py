"""The evaluators by name: a checkpoint goes in, scores with their intervals come out."""

from typing import Annotated, get_args

from pydantic import Field

from evaluators.accuracy import Accuracy
from evaluators.base import EvalResult, Evaluator, Score, TransferEvaluator
from evaluators.few_shot import FewShot
from evaluators.hessian import HessianSpectrum
from evaluators.linear_probe import LinearProbe
from evaluators.prediction_depth import PredictionDepth

AnyEvaluator = Accuracy | LinearProbe | FewShot | HessianSpectrum | PredictionDepth
"""Add an evaluator by adding it to this union; each says its name in its `name` field."""

EvaluatorSpec = Annotated[AnyEvaluator, Field(discriminator="name")]


def names() -> list[str]:
    """Every evaluator a spec may name."""
    return [name for kind in get_args(AnyEvaluator) for name in get_args(kind.model_fields["name"].annotation)]


__all__ = ["AnyEvaluator", "EvalResult", "Evaluator", "EvaluatorSpec", "PredictionDepth", "Score", "TransferEvaluator", "names"]
