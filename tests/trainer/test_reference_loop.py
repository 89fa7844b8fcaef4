"""Every method against plain loops written from the protocols, step by step in float64."""

from typing import Any

import pytest

from tests.trainer.builders import run, small_spec
from tests.trainer.reference import CASES, Reference, case_label, error, trained

AGREES = 1e-12


@pytest.mark.parametrize("case", CASES, ids=case_label)
def test_every_loss_and_all_weights_agree_with_a_plain_loop(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    found = error(trained(*case), Reference(*case).train())
    assert found.loss < AGREES
    assert found.weight < AGREES


@pytest.mark.parametrize(
    "method", [method for method, _ in CASES if method["name"] == "sa-gd"], ids=lambda each: str(each)
)
def test_the_compared_sa_gd_runs_both_ascend_and_descend(method: dict[str, Any]) -> None:
    _, rows = run(small_spec(method))
    assert all(0 < row.metrics["forgetting/ascent_steps"] < 12 for row in rows if row.epoch == 3)
