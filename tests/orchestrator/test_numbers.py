import pytest

from orchestrator.numbers import with_half


@pytest.mark.parametrize(
    ("value", "half", "percent", "expected"),
    [
        (94.118, 0.831, True, "94.12 ± 0.83"),
        (0.0312, None, False, "0.0312"),
        (0.0312, 0.5, False, "0.0312 ± 0.5000"),
        (0.31, None, True, "0.31"),
        (0.0, 0.0, False, "0.00 ± 0.00"),
        (1234.256, 2000.5, False, "1234.26 ± 2000.50"),
        (1.6e17, 2.3e16, False, "1.6e+17 ± 2.3e+16"),
        (2.5e-7, None, False, "2.5e-07"),
        (-134.166, None, False, "-134.17"),
    ],
)
def test_scores_as_text(value: float, half: float | None, percent: bool, expected: str) -> None:
    assert with_half(value, half, percent) == expected
