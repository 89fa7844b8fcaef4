"""Rules for resources, and for the size of an experiment."""

from typing import Any

import pytest

from tests.orchestrator.intake.builders import changed, expect_contradiction


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        ([("/resources", {"workers": 64})], "/resources/workers", "64 workers cannot share batches of 32"),
        ([("/train/generations", 1000), ("/seeds", list(range(100)))], "", "300000 generations are requested"),
    ],
)
def test_requests_that_are_too_large_are_reported_with_a_remedy(
    changes: list[tuple[str, Any]], pointer: str, message: str
) -> None:
    expect_contradiction(changed(*changes), pointer, message)
