"""Experiments for the tests of the report, whose results are written by hand into a real database."""

import json
import math
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from evaluators import EvaluatorSpec
from orchestrator.intake.check import check
from orchestrator.plan import Node
from orchestrator.spec import ExperimentSpec
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from tests.orchestrator.builders import claimed, epoch_row, planned, small, submitted

FINGERPRINT = {
    "torch": "2.11.0",
    "device": "cpu",
    "threads": 1,
    "cpu": "AVX2",
    "workers": 1,
    "onednn": True,
    "cudnn": "",
}
FEW = {"name": "few-shot", "targets": ["digits-edges"], "shots": [1, 5], "episodes": 40}
HASH = "0" * 64
_EVALUATOR: TypeAdapter[Any] = TypeAdapter(EvaluatorSpec)


def row(store: Store, experiment: str) -> Experiment:
    found = store.experiment(experiment)
    assert found is not None
    return found


def evaluated(
    store: Store,
    experiment: str,
    node: Node,
    scores: dict[str, float],
    curves: dict[str, list[float]] | None = None,
    **details: Any,
) -> None:
    """Commits the scores of an evaluation, each a mean of 100 values and without an interval of its own."""
    assert node.evaluator is not None
    settings = _EVALUATOR.validate_json(json.dumps(node.evaluator))
    about = {
        "evaluator": node.evaluator["name"],
        "version": 2,
        "settings": settings.model_dump(mode="json", exclude={"name", "targets"}),
        "target": f"{node.target_label}#{HASH}",
        "digests": {},
        "notes": [],
        "fingerprint": FINGERPRINT,
    }
    found = {name: {"value": value, "n": 100, "low": None, "high": None} for name, value in scores.items()}
    what = f"{experiment}/{node.title}", node.evaluator["name"], node.target_label
    assert store.finish_evaluation(claimed(store, node.key, experiment), *what, found, curves or {}, about | details)


def trained(store: Store, experiment: str, node: Node, accuracies: list[float], forgetting: int = 0) -> None:
    """Commits a generation with these test accuracies, whose first `forgetting` epochs are a forgetting phase."""
    rows = [
        epoch_row(
            node.key,
            epoch,
            node.generation,
            phase="forgetting" if epoch < forgetting else "relearning",
            metrics={"test/accuracy": accuracy},
        )
        for epoch, accuracy in enumerate(accuracies)
    ]
    store.add_epochs(rows)
    by = f"{experiment}/{node.title}"
    assert store.finish_generation(claimed(store, node.key, experiment), by, f"mlflow://{node.key[:8]}", HASH)


def scored(store: Store, values: dict[tuple[str, int], float], **changes: Any) -> str:
    """An experiment whose arms have the accuracies `values` after their last generation, by arm and seed.

    What `values` leaves out is not measured; `changes` replace fields of the spec.
    """
    arms = dict.fromkeys(arm for arm, _ in values)
    seeds = sorted({seed for _, seed in values})
    methods = [{"name": "seal", "ascent_scale": 0.01 + index / 100} for index in range(len(arms))]
    raw = small(
        arms=[{"name": arm, "method": method} for arm, method in zip(arms, methods, strict=True)],
        seeds=seeds,
        train={"generations": 2, "epochs": 3, "batch_size": 16},
    )
    raw |= changes
    experiment = submitted(store, raw)
    for use in planned(raw).uses:
        if use.kind == "evaluation" and (use.arm, use.seed) in values:
            evaluated(store, experiment, planned(raw).nodes[use.key], {"top1": values[use.arm, use.seed]})
    return experiment


REALISTIC: dict[str, Any] = {
    "name": "digits",
    "title": "Forgetting and relearning on noisy digits",
    "data": {"name": "digits-noisy", "train_per_class": 30},
    "model": {"name": "resnet-digits"},
    "train": {"generations": 4, "epochs": 12, "batch_size": 32, "lr": 0.05},
    "arms": [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "llf", "method": {"name": "llf"}},
        {"name": "seal", "method": {"name": "seal", "ascent_scale": 2.0}},
    ],
    "seeds": [0, 1, 2],
    "evaluations": [
        {"evaluator": {"name": "accuracy"}, "on": ["every"]},
        {"evaluator": {"name": "linear-probe", "targets": ["digits-inverted", "digits-edges"], "train_per_class": 10}},
        {"evaluator": FEW | {"targets": ["digits-inverted", "digits-edges"]}, "on": ["first", "last"]},
        {"evaluator": {"name": "hessian-spectrum", "examples": 64}, "on": ["first", "last"]},
        {"evaluator": {"name": "prediction-depth"}, "on": ["every"]},
    ],
}
LEVEL = {"normal": 0.0, "llf": 0.03, "seal": 0.06}


def realistic(store: Store, **changes: Any) -> str:
    """An experiment with most of what a report can show: SEAL improves with each generation, Normal does not."""
    raw = REALISTIC | changes
    spec, plan = check(raw), planned(raw)
    experiment = submitted(store, raw)
    for node in plan.nodes.values():
        random = np.random.default_rng(int(node.key[:8], 16))
        gain = LEVEL[node.arm] * (1 - 0.5**node.generation) + 0.01 * random.standard_normal() / 3 + node.seed / 200
        if node.kind == "generation":
            _train(store, experiment, spec, node, gain)
        else:
            _evaluate(store, experiment, node, gain, random)
    store.move(experiment, ExperimentState.SUCCEEDED)
    return experiment


def _train(store: Store, experiment: str, spec: ExperimentSpec, node: Node, gain: float) -> None:
    epochs = spec.train_of(spec.arm(node.arm)).epochs
    forgetting = math.ceil(epochs / 4) if node.arm == "seal" and node.generation else 0
    start = 0.1 if node.generation == 0 or node.arm == "llf" else 0.75
    curve = [
        0.35 if epoch < forgetting else (0.8 + gain) - (0.8 + gain - start) * math.exp(-(epoch - forgetting + 1) / 2.5)
        for epoch in range(epochs)
    ]
    trained(store, experiment, node, curve, forgetting)


def _evaluate(store: Store, experiment: str, node: Node, gain: float, random: np.random.Generator) -> None:
    assert node.evaluator is not None
    match node.evaluator["name"]:
        case "accuracy":
            evaluated(
                store, experiment, node, {"top1": 0.8 + gain, "loss": 0.7 - gain, "ece": 0.08 - gain / 4, "top5": 0.99}
            )
        case "linear-probe":
            notes = ["acc is the best of 3 learning rates x 120 epochs on the test images (test-selected)"]
            evaluated(store, experiment, node, {"acc": 0.6 + gain, "acc_heldout": 0.58 + gain}, notes=notes)
        case "few-shot":
            episodes = {shots: (0.4 + shots / 20 + gain + 0.05 * random.standard_normal(40)) for shots in (1, 5)}
            evaluated(
                store,
                experiment,
                node,
                {f"{shots}shot/acc": float(each.mean()) for shots, each in episodes.items()},
                {f"{shots}shot/episodes": each.tolist() for shots, each in episodes.items()},
                digests={f"{shots}shot": f"{shots:064x}" for shots in episodes},
                notes=["reduced run: 40 of the protocol's 600 episodes"],
            )
        case "hessian-spectrum":
            values = np.sort(random.exponential(400 / (1 + 20 * max(gain, 0)), 200) - 30)
            share = float((values < 0).mean())
            evaluated(
                store,
                experiment,
                node,
                {"max": float(values.max()), "negative_share": share},
                {"eigenvalues": values.tolist()},
            )
        case "prediction-depth":
            layers = {f"layer{n}/knn_acc": 0.3 + 0.12 * n + gain * (2 - n / 4) for n in range(1, 5)}
            evaluated(store, experiment, node, layers | {"fc/knn_acc": 0.8 + gain, "mean_depth": 2.5 - 4 * gain})
