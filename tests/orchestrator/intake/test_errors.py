"""Errors of single values: unknown, missing, of a wrong type, or out of range."""

import pytest

from tests.orchestrator.intake.builders import MISSING, changed, places, problems
from trainer.methods import METHODS


@pytest.mark.parametrize(
    ("pointer", "nearest"),
    [
        ("/trian", "train"),
        ("/zzz", None),
        ("/a~1b~0c", None),
        ("/data/label_nois", "label_noise"),
        ("/model/widht", "width"),
        ("/train/epoch", "epochs"),
        ("/train/schedule/warmup", "warmup_epochs"),
        ("/arms/1/nme", "name"),
        ("/arms/2/method/ascent_scal", "ascent_scale"),
        ("/arms/0/method/ascent_scale", None),
        ("/arms/0/method/normal", None),
        ("/evaluations/2/onn", "on"),
        ("/evaluations/2/evaluator/shot", "shots"),
        ("/evaluations/0/evaluator/targets", None),
        ("/resources/cpu", "cpus"),
    ],
)
def test_an_unknown_field_is_reported_with_the_nearest_known_one(pointer: str, nearest: str | None) -> None:
    assert places(changed((pointer, 1))) == [(pointer, "UNKNOWN_FIELD", nearest)]


@pytest.mark.parametrize(
    ("pointer", "given", "nearest"),
    [
        ("/data/name", "digit-noisy", "digits-noisy"),
        ("/model/name", "resnet-18", "resnet18"),
        ("/arms/1/method/name", "lff", "llf"),
        ("/arms/1/method/name", "born-agian", "born-again"),
        ("/evaluations/2/evaluator/name", "few_shot", "few-shot"),
        ("/evaluations/2/evaluator/targets/1", "digits-edge", "digits-edges"),
        ("/evaluations/4/evaluator/layers", ["layer1", "fcc"], "fc"),
        ("/evaluations/0/on/0", "evry", "every"),
        ("/train/recipe", "papr", "paper"),
        ("/train/schedule/shape", "cosin", "cosine"),
        ("/train/schedule/scope", "runs", "run"),
        ("/arms/1/method/redraw_law", "same_as", "same_as_init"),
        ("/arms/2/method/ascent_weight_decay", "fip", "flip"),
        ("/evaluations/4/evaluator/pool", "average", "avg"),
    ],
)
def test_an_unknown_name_is_reported_with_the_nearest_known_one(
    pointer: str, given: object, nearest: str | None
) -> None:
    at = pointer + "/1" if isinstance(given, list) else pointer
    assert places(changed((pointer, given))) == [(at, "UNKNOWN_VALUE", nearest)]


def test_the_message_of_an_unknown_name_lists_the_known_ones() -> None:
    (problem,) = problems(changed(("/arms/1/method/name", "forget")))
    assert problem.message == f"'forget' is not known here; expected {', '.join(METHODS)}"


@pytest.mark.parametrize(
    ("pointer", "given"),
    [
        ("/name", 5),
        ("/name", None),
        ("/data", "digits"),
        ("/data", []),
        ("/model", None),
        ("/train", 3),
        ("/train", None),
        ("/train/epochs", True),
        ("/train/epochs", "24"),
        ("/train/epochs", 24.5),
        ("/train/epochs", None),
        ("/train/lr", "0.05"),
        ("/train/lr", True),
        ("/train/lr", [0.05]),
        ("/train/schedule", "cosine"),
        ("/arms", {}),
        ("/arms/0", "normal"),
        ("/arms/0/method", "normal"),
        ("/arms/2/method/ascent_epochs", 2.5),
        ("/arms/2/method/ascent_epochs", False),
        ("/arms/2/method/layer_threshold", 3.5),
        ("/seeds", 0),
        ("/seeds/1", "1"),
        ("/seeds/1", None),
        ("/evaluations", {"evaluator": {"name": "accuracy"}}),
        ("/evaluations/0/on", "every"),
        ("/evaluations/0/on/0", 1.5),
        ("/evaluations/0/on/0", []),
        ("/evaluations/2/evaluator/targets", "digits"),
        ("/evaluations/2/evaluator/targets/0", 5),
        ("/evaluations/2/evaluator/shots", 5),
        ("/evaluations/4/evaluator/layers", "fc"),
        ("/resources/gpus", "1"),
        ("/resources/cpus", 1.5),
    ],
)
def test_a_wrong_type_is_reported_at_its_place(pointer: str, given: object) -> None:
    assert places(changed((pointer, given))) == [(pointer, "WRONG_TYPE", None)]


@pytest.mark.parametrize(
    ("pointer", "given"),
    [
        ("/name", "Digits"),
        ("/name", ""),
        ("/name", "a" * 65),
        ("/name", "a\n"),
        ("/arms/0/name", "normal arm"),
        ("/data/label_noise", 1.5),
        ("/data/train_per_class", 86),
        ("/model/width", 0),
        ("/train/generations", 1001),
        ("/train/epochs", 0),
        ("/train/epochs", 2**70),
        ("/train/lr", 0),
        ("/train/lr", -0.1),
        ("/train/momentum", 1),
        ("/train/label_smoothing", 1.0),
        ("/train/schedule/warmup_epochs", -1),
        ("/arms", []),
        ("/arms/2/method/ascent_scale", -0.01),
        ("/arms/1/method/layer_threshold", ""),
        ("/seeds", []),
        ("/seeds", list(range(101))),
        ("/seeds/0", -1),
        ("/seeds/2", 2**31 + 1),
        ("/evaluations/0/on", []),
        ("/evaluations/0/on/0", -1),
        ("/evaluations/2/evaluator/targets", []),
        ("/evaluations/2/evaluator/shots/0", 0),
        ("/evaluations/1/evaluator/learning_rates", [0.1, -0.1]),
        ("/resources/cpus", 0),
    ],
)
def test_a_value_out_of_range_is_reported_at_its_place(pointer: str, given: object) -> None:
    at = pointer + "/1" if pointer.endswith("learning_rates") else pointer
    assert places(changed((pointer, given))) == [(at, "OUT_OF_RANGE", None)]


def test_the_message_contains_the_bound_and_the_value() -> None:
    (problem,) = problems(changed(("/train/lr", -0.1)))
    assert problem.message == "should be greater than 0, got -0.1"


@pytest.mark.parametrize(
    "pointer",
    [
        "/name",
        "/data",
        "/data/name",
        "/model/name",
        "/arms",
        "/arms/1/name",
        "/arms/1/method",
        "/arms/1/method/name",
        "/evaluations/0/evaluator",
        "/evaluations/0/evaluator/name",
        "/evaluations/1/evaluator/targets",
    ],
)
def test_a_missing_field_is_reported(pointer: str) -> None:
    assert places(changed((pointer, MISSING))) == [(pointer, "MISSING_FIELD", None)]
