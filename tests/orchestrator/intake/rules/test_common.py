"""Problems that several rules report."""

import pytest

from tests.orchestrator.intake.builders import changed, places


@pytest.mark.parametrize(
    ("pointer", "given", "repeated"),
    [
        ("/arms/2/name", "llf", ["/arms/2/name"]),
        ("/seeds", [4, 5, 4], ["/seeds/2"]),
        ("/seeds", [4, 4, 4], ["/seeds/1", "/seeds/2"]),
        ("/evaluations/2/evaluator/targets", ["digits", "digits"], ["/evaluations/2/evaluator/targets"]),
        ("/evaluations/2/evaluator/shots", [1, 5, 1], ["/evaluations/2/evaluator/shots"]),
        ("/evaluations/4/evaluator/layers", ["fc", "fc"], ["/evaluations/4/evaluator/layers"]),
    ],
)
def test_a_repeated_value_is_reported(pointer: str, given: object, repeated: list[str]) -> None:
    assert places(changed((pointer, given))) == [(each, "DUPLICATE", None) for each in repeated]
