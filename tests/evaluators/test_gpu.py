"""What the evaluators find on a GPU is what they find on a CPU."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

import evaluators
from trainer.core.data import Dataset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "accuracy"},
        {"name": "linear-probe", "epochs": 3},
        {"name": "few-shot", "episodes": 5, "shots": (1, 5)},
        {"name": "few-shot", "episodes": 5, "shots": (1,), "mode": "linear+affines", "bn_mode": "train", "epochs": 10},
        {"name": "few-shot", "episodes": 5, "shots": (1,), "mode": "linear+affines", "bn_mode": "eval", "epochs": 10},
        {"name": "hessian-spectrum", "examples": 32, "trace_probes": 1, "density_probes": 1, "density_steps": 10},
        {"name": "prediction-depth", "layers": ("conv1", "layer2", "fc")},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_scores_and_curves_are_those_of_a_cpu(
    settings: dict[str, Any], network: nn.Module, digits: Dataset, edges: Dataset
) -> None:
    kind = evaluators.EVALUATORS[settings["name"]]
    transfers = issubclass(kind, evaluators.TransferEvaluator)
    evaluator = kind(**settings | ({"targets": ("digits-edges",)} if transfers else {}))
    target = edges if transfers else digits
    there = evaluator.run(copy.deepcopy(network).to("cuda"), digits, target)
    here = evaluator.run(network, digits, target)
    for name, score in here.scores.items():
        assert there.scores[name].value == pytest.approx(score.value, rel=1e-8), name
    for name, curve in here.curves.items():
        assert there.curves[name] == pytest.approx(curve, rel=1e-6, abs=1e-9), name
