"""Batches that BatchNorm cannot normalise are refused when the spec is posted, and only those."""

from typing import Any

import pytest

from tests.orchestrator.builders import small
from tests.orchestrator.intake.builders import places, problems

DIGITS = {"name": "digits"}
R18 = {"name": "resnet18"}
NORMAL = {"name": "normal", "method": {"name": "normal"}}
LLF = {"name": "llf", "method": {"name": "llf"}}
SHORT = {"generations": 1, "epochs": 1}


def posted(train: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A spec of 901 digits and a ResNet-18, whose third stage has 1 x 1 pixels."""
    settings = SHORT | {"batch_size": 100} | (train or {})
    return small(**({"data": DIGITS, "model": R18, "arms": [NORMAL], "train": settings, "evaluations": []} | fields))


@pytest.mark.parametrize(
    ("spec", "pointers"),
    [
        (posted(), ["/train/batch_size"]),
        (posted(arms=[NORMAL, LLF]), ["/train/batch_size"]),
        (posted({"batch_size": 1}), ["/train/batch_size"]),
        (posted(model={"name": "resnet-digits"}, arms=[NORMAL, LLF | {"model": R18}]), ["/train/batch_size"]),
        (posted({"batch_size": 32}, arms=[NORMAL, LLF | {"train": {"batch_size": 100}}]), ["/arms/1/train/batch_size"]),
        (posted({"batch_size": 103}, data=DIGITS | {"holdout": 0.2}), ["/train/batch_size"]),
        (posted({"batch_size": 103}, arms=[NORMAL, LLF | {"data": DIGITS | {"holdout": 0.2}}]), ["/train/batch_size"]),
        (posted(resources={"workers": 4}), ["/train/batch_size"]),
        (posted({"batch_size": 99, "batch_norm": "per-worker"}, resources={"workers": 8}), ["/train/batch_size"]),
        (posted({"batch_size": 99}, resources={"workers": 8}), []),
        (posted({"batch_size": 99, "batch_norm": "per-worker"}), []),
        (posted({"batch_size": 32}), []),
        (posted({"batch_size": 901}), []),
        (posted(model={"name": "resnet-digits"}), []),
        (posted({"batch_size": 1}, model={"name": "resnet-digits"}), []),
    ],
    ids=str,
)
def test_training_batches_of_one_image_are_refused_where_a_map_is_1x1(
    spec: dict[str, Any], pointers: list[str]
) -> None:
    assert places(spec) == [(pointer, "CONTRADICTION", None) for pointer in pointers]


def test_the_message_has_a_batch_size_that_works() -> None:
    (problem,) = problems(posted())
    assert problem.message.startswith("batch_size 100 leaves a last batch of 1 of 901 images, ")
    assert problem.message.endswith(": use batch_size 99")
    assert problems(posted({"batch_size": 99})) == []


def adapting(**settings: Any) -> list[dict[str, Any]]:
    defaults = {"name": "few-shot", "targets": ["digits-edges"], "mode": "linear+affines", "episodes": 2}
    return [{"evaluator": defaults | settings}]


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, "a last minibatch of 1 of 5 support images"),
        ({"shots": [5]}, "a last minibatch of 1 of 25 support images"),
        ({"shots": [5], "batch_size": 1}, "minibatches of 1 of 25 support images"),
        ({"batch_size": 3}, "a last minibatch of 1 of 25 support images"),
        ({"batch_size": 5}, None),
        ({"bn_mode": "eval"}, None),
        ({"mode": "linear"}, None),
        ({"shots": [2]}, None),
    ],
    ids=str,
)
def test_support_minibatches_of_one_image_are_refused_where_a_map_is_1x1(
    settings: dict[str, Any], refused: str | None
) -> None:
    found = problems(posted({"batch_size": 32}, evaluations=adapting(**settings)))
    assert [problem.pointer for problem in found] == (["/evaluations/0/evaluator/batch_size"] if refused else [])
    assert all(refused is not None and refused in problem.message for problem in found)
    assert problems(posted(model={"name": "resnet-digits"}, evaluations=adapting(**settings))) == []


def test_the_remedy_for_minibatches_fits_every_number_of_shots() -> None:
    (problem,) = problems(posted({"batch_size": 32}, evaluations=adapting()))
    assert problem.message.endswith("use batch_size 5, or bn_mode eval")
    assert problems(posted({"batch_size": 32}, evaluations=adapting(batch_size=5))) == []


def test_a_checkpoint_is_not_trained_and_its_adaptation_is_checked() -> None:
    arm = {"name": "theirs", "checkpoint": {"uri": "mlflow-artifacts:/1/net.pt", "sha256": "0" * 64}}
    assert problems(posted(arms=[arm])) == []
    assert places(posted(arms=[arm], evaluations=adapting()))[0][0] == "/evaluations/0/evaluator/batch_size"
