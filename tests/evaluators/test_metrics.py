from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError
from torch import nn

from evaluators import EVALUATORS, EvalResult, Evaluator, Metric, TransferEvaluator, about
from evaluators.base import CONTEXT, Context
from trainer.core.data import Dataset


@pytest.mark.parametrize(
    ("evaluator", "metric", "expected"),
    [
        ("accuracy", "top1", (True, "higher", True)),
        ("accuracy", "top5", (True, "higher", False)),
        ("accuracy", "loss", (False, "lower", False)),
        ("accuracy", "ece", (False, "lower", False)),
        ("linear-probe", "acc_heldout", (True, "higher", True)),
        ("linear-probe", "lr0.1/best", (True, "higher", False)),
        ("few-shot", "5shot-affines/acc", (True, "higher", True)),
        ("hessian-spectrum", "max", (False, None, True)),
        ("hessian-spectrum", "negative_share", (True, None, True)),
        ("hessian-spectrum", "top1_mean", (False, None, False)),
        ("prediction-depth", "layer2.1/knn_acc", (True, "higher", True)),
        ("prediction-depth", "mean_depth", (False, None, True)),
        ("training", "test_accuracy/last", (True, "higher", True)),
        ("training", "test_accuracy/best", (True, "higher", False)),
        ("of-a-package", "retrieval_acc", (True, "higher", True)),
        ("of-a-package", "dead_share", (True, None, True)),
        ("of-a-package", "loss", (False, "lower", True)),
        ("of-a-package", "entropy", (False, None, True)),
    ],
)
def test_what_is_known_of_a_score(evaluator: str, metric: str, expected: tuple[bool, str | None, bool]) -> None:
    found = about(evaluator, metric)
    assert (found.share, found.better, found.headline) == expected


@pytest.mark.parametrize(
    ("evaluator", "metric", "expected"),
    [
        ("accuracy", "top1", "images"),
        ("few-shot", "5shot/acc", "episodes"),
        ("hessian-spectrum", "top1_mean", "batches"),
        ("hessian-spectrum", "trace", ""),
        ("training", "test_accuracy/last", "images"),
        ("of-a-package", "acc", ""),
    ],
)
def test_what_the_n_of_a_score_counts(evaluator: str, metric: str, expected: str) -> None:
    """The n of a trace counts batches, or probes where there is one batch, so it has no word."""
    assert about(evaluator, metric).n_of == expected


# --- declarations ---

WIDER: list[dict[str, Any]] = [
    {"name": "accuracy"},
    {"name": "linear-probe", "epochs": 2, "train_per_class": 10},
    {"name": "few-shot", "episodes": 2, "shots": (1, 5)},
    {"name": "few-shot", "episodes": 2, "shots": (1,), "mode": "linear+affines", "epochs": 1},
    {"name": "hessian-spectrum", "examples": 32, "trace_probes": 1},
    {"name": "prediction-depth", "layers": ("layer2", "fc")},
]


@pytest.mark.parametrize("settings", WIDER, ids=lambda each: " ".join(map(str, each.values())))
def test_every_score_of_ours_is_declared_once(settings: dict[str, Any], network: nn.Module, edges: Dataset) -> None:
    """A search refuses an objective that is not among the fixed names, so none may be missing."""
    kind = EVALUATORS[settings["name"]]
    transfers = issubclass(kind, TransferEvaluator)
    evaluator = kind(**settings | ({"targets": ("digits-edges",)} if transfers else {}))
    scores = evaluator.run(network, edges, edges).scores
    fitting = {score: [metric.name for metric in kind.metrics if metric.fits(score)] for score in scores}
    assert {score: names for score, names in fitting.items() if len(names) != 1} == {}
    assert all(metric.description for metric in kind.metrics)


def test_a_placeholder_stands_for_some_text_and_nothing_else_does() -> None:
    shots = Metric("<K>shot/acc")
    assert [name for name in ("5shot/acc", "shot/acc", "5shot/accu", "5shot-affines/acc") if shots.fits(name)] == [
        "5shot/acc"
    ]
    assert not Metric("a.c").fits("abc")
    assert [metric.is_pattern for metric in (shots, Metric("acc"))] == [True, False]


def test_the_first_of_several_that_fit_counts() -> None:
    class Both(Evaluator):
        metrics: ClassVar[tuple[Metric, ...]] = (Metric("slow/ms", unit="ms"), Metric("<which>/ms", better="lower"))
        name: Literal["both"] = "both"

        def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
            return EvalResult(scores={})

    assert [Both.about(name).unit for name in ("slow/ms", "fast/ms", "loss")] == ["ms", "", ""]
    assert Both.about("loss") == Metric("loss"), "what is not declared is not guessed either"


@pytest.mark.filterwarnings("ignore:Field name .metrics. in .Wrong. shadows")
@pytest.mark.parametrize("declared", ["ClassVar[tuple[Any, ...]] = ('acc',)", "tuple[Any, ...] = ()"])
def test_metrics_that_cannot_be_read_are_refused(declared: str) -> None:
    code = f"class Wrong(Evaluator):\n    metrics: {declared}\n    name: Literal['wrong'] = 'wrong'\n"
    names = {"Evaluator": Evaluator, "Literal": Literal, "ClassVar": ClassVar, "Any": Any, "__name__": "its_module"}
    with pytest.raises(TypeError, match="metrics must be a ClassVar with a tuple of"):
        exec(code, names)


@pytest.mark.parametrize("settings", [{"better": "up"}, {"headline": "yes"}, {"unit": None}])
def test_a_metric_of_another_form_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Metric("acc", **settings)


def test_a_search_may_choose_from_names_that_are_all_fixed() -> None:
    assert EVALUATORS["accuracy"].score_names() == ["top1", "top5", "loss", "ece"]
    assert EVALUATORS["prediction-depth"].score_names() == []
