import pytest

from orchestrator.metrics import Metric, about


@pytest.mark.parametrize(
    ("evaluator", "metric", "expected"),
    [
        ("accuracy", "top1", Metric(True, "higher", True)),
        ("accuracy", "top5", Metric(True, "higher", False)),
        ("accuracy", "loss", Metric(False, "lower", False)),
        ("accuracy", "ece", Metric(False, "lower", False)),
        ("linear-probe", "acc_heldout", Metric(True, "higher", True)),
        ("linear-probe", "lr0.1/best", Metric(True, "higher", False)),
        ("few-shot", "5shot-affines/acc", Metric(True, "higher", True)),
        ("hessian-spectrum", "max", Metric(False, None, True)),
        ("hessian-spectrum", "negative_share", Metric(True, None, True)),
        ("hessian-spectrum", "top1_mean", Metric(False, None, False)),
        ("prediction-depth", "layer2.1/knn_acc", Metric(True, "higher", True)),
        ("prediction-depth", "mean_depth", Metric(False, None, True)),
        ("training", "test_accuracy/last", Metric(True, "higher", True)),
        ("training", "test_accuracy/best", Metric(True, "higher", False)),
        ("of-a-package", "retrieval_acc", Metric(True, "higher", True)),
        ("of-a-package", "dead_share", Metric(True, None, True)),
        ("of-a-package", "loss", Metric(False, "lower", True)),
        ("of-a-package", "entropy", Metric(False, None, True)),
    ],
)
def test_what_is_known_of_a_score(evaluator: str, metric: str, expected: Metric) -> None:
    assert about(evaluator, metric) == expected
