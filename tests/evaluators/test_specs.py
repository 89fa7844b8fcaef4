from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from evaluators import EVALUATORS, AnyEvaluator, EvaluatorSpec, TransferEvaluator, names
from evaluators.few_shot import FewShot
from evaluators.linear_probe import LinearProbe
from evaluators.prediction_depth import PredictionDepth

SPEC: TypeAdapter[AnyEvaluator] = TypeAdapter(EvaluatorSpec)


def test_the_names_are_known() -> None:
    assert names() == ["accuracy", "linear-probe", "few-shot", "hessian-spectrum", "prediction-depth"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "few-shot", "targets": ["a", "b"], "shots": [1], "lr": 1}', {"targets": ("a", "b"), "shots": (1,)}),
        ('{"name": "linear-probe", "targets": ["a"], "learning_rates": [1, 0.1]}', {"learning_rates": (1.0, 0.1)}),
        ('{"name": "prediction-depth", "layers": ["layer1", "fc"]}', {"layers": ("layer1", "fc")}),
    ],
)
def test_json_lists_become_tuples(text: str, expected: dict[str, object]) -> None:
    spec = SPEC.validate_json(text)
    assert {field: getattr(spec, field) for field in expected} == expected
    assert SPEC.validate_json(SPEC.dump_json(spec)) == spec
    assert SPEC.validate_python(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize("kind", get_args(AnyEvaluator))
def test_every_field_is_described(kind: type[AnyEvaluator]) -> None:
    fields = {name: field for name, field in kind.model_fields.items() if name != "name"}
    assert all(field.description for field in fields.values())
    assert kind.__doc__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "accuracy", "seed": 1}', "Extra inputs are not permitted"),
        ('{"name": "few-shot"}', "Field required"),
        ('{"name": "few-shot", "targets": []}', "at least 1 item"),
        ('{"name": "few-shot", "targets": ["a", "a"]}', "'a' is listed twice"),
        ('{"name": "few-shot", "targets": ["a"], "ways": "5"}', "valid integer"),
        ('{"name": "few-shot", "targets": ["a"], "shots": [0]}', "greater than or equal to 1"),
        ('{"name": "linear-probe", "targets": ["a"], "learning_rates": [-0.1]}', "greater than 0"),
        ('{"name": "linear-probe", "targets": ["a"], "train_per_class": 1}', "greater than or equal to 2"),
        ('{"name": "prediction-depth", "layers": ["fc", "fc"]}', "'fc' is listed twice"),
        ('{"name": "prediction-depth", "pool": "max"}', "'none' or 'avg'"),
        ('{"name": "probe"}', "does not match any of the expected tags"),
    ],
)
def test_a_wrong_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SPEC.validate_json(text)


def test_evaluators_that_transfer_say_so_and_are_frozen() -> None:
    transfer = {name for name, kind in EVALUATORS.items() if issubclass(kind, TransferEvaluator)}
    assert transfer == {"linear-probe", "few-shot"}
    for spec in (FewShot(targets=("a",)), LinearProbe(targets=("a",))):
        with pytest.raises(ValidationError, match="frozen"):
            spec.seed = 1  # type: ignore[misc]
    assert PredictionDepth().layers is None
