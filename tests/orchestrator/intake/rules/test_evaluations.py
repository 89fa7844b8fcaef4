"""Rules for evaluations."""

from typing import Any

import pytest

from tests.orchestrator.intake.builders import changed, expect_contradiction


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        (
            [("/evaluations/2/evaluator", {"name": "few-shot", "targets": ["digits"], "shots": [1, 160]})],
            "/evaluations/2/evaluator/shots/1",
            "160-shot with 15 queries needs 175 images per class; the smallest class of 'digits' has 174",
        ),
        (
            [("/evaluations/2/evaluator", {"name": "few-shot", "targets": ["digits-0-4"], "ways": 6})],
            "/evaluations/2/evaluator/ways",
            "6 ways need 6 classes; 'digits-0-4' has 5",
        ),
        (
            [("/evaluations/1/evaluator", {"name": "linear-probe", "targets": ["digits"], "train_per_class": 1000})],
            "/evaluations/1/evaluator/train_per_class",
            "1000",
        ),
        (
            [("/evaluations/3/evaluator/batch_size", 129)],
            "/evaluations/3/evaluator/batch_size",
            "batch_size 129 is more than the 128 images drawn from 'digits-noisy'",
        ),
        (
            [("/evaluations/3/evaluator", {"name": "hessian-spectrum", "batch_size": 301})],
            "/evaluations/3/evaluator/batch_size",
            "batch_size 301 is more than the 300 images drawn",
        ),
        (
            [("/evaluations/3/evaluator/max_steps", 4)],
            "/evaluations/3/evaluator",
            "max_steps 4 cannot find k 5 eigenvalues",
        ),
        ([("/evaluations/4/evaluator/k", 301)], "/evaluations/4/evaluator/k", "300"),
        (
            [("/evaluations/0/on", ["first", 8])],
            "/evaluations/0/on/1",
            "'normal' has no generation 8: its last is 7",
        ),
    ],
)
def test_an_unsuitable_evaluation_is_reported_with_a_remedy(
    changes: list[tuple[str, Any]], pointer: str, message: str
) -> None:
    expect_contradiction(changed(*changes), pointer, message)
