"""What a table says about its own numbers: what ± is, over what, and over how many."""

from typing import Any

import pytest

from orchestrator import report
from orchestrator.report.formats import FORMATS
from orchestrator.report.model import Report
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, planned, small, submitted
from tests.orchestrator.report.builders import FEW, row

TABLE: dict[str, Any] = {
    "name": "shots",
    "caption": "Few-shot accuracy",
    "rows": [{"label": "normal", "arm": "normal"}, {"label": "seal", "arm": "seal"}],
    "columns": [{"label": "edges", "evaluator": "few-shot", "metric": "5shot/acc", "dataset": "digits-edges"}],
    "published": [[[40.0, 0.75]], [41.0]],
    "source": "Table 4",
}


def few_shot(store: Store, seeds: int, **changes: Any) -> Report:
    """A report on few-shot accuracies 0.5, 0.51, ..., each +- 0.02 over 40 episodes of one network."""
    raw = small(evaluations=[{"evaluator": FEW | {"shots": [5]}}], seeds=list(range(seeds))) | changes
    experiment, plan = submitted(store, raw), planned(raw)
    for node in plan.nodes.values():
        if node.kind == "evaluation":
            value = 0.5 + node.seed / 100
            score = {"5shot/acc": {"value": value, "n": 40, "low": value - 0.02, "high": value + 0.02}}
            claim = claimed(store, node.key, experiment)
            assert store.finish_evaluation(claim, "by", "few-shot", "digits-edges", score, {}, None)
    return report.build(store, [row(store, experiment)])


def test_with_one_seed_what_stands_behind_a_few_shot_score_is_over_episodes_and_said_to_be(store: Store) -> None:
    found = few_shot(store, 1)
    (table,) = found.tables
    assert [cell.episodes_half for (cell,) in table.cells] == pytest.approx([2, 2])
    assert all(cell.low is cell.high is None for (cell,) in table.cells)
    assert "± of one seed: half the width of the 95 % interval over 40 episodes, not over seeds." in table.reading
    assert "| seal | 50.00 ± 2.00 |" in FORMATS["markdown"].render(found)


def test_with_several_seeds_the_interval_over_episodes_stands_beside_a_printed_one(store: Store) -> None:
    """Half of the t interval of 50 and 51 points is 12.706 / 2."""
    found = few_shot(store, 2, tables=[TABLE])
    lines = FORMATS["markdown"].render(found).splitlines()
    assert "| normal | 50.50 ± 6.35<br>episodes ± 2.00<br>40.00 ± 0.75 (+10.50) |" in lines
    assert "| seal | 50.50 ± 6.35<br>41.00 (+9.50) |" in lines
    assert any(line.startswith("Episodes ±: half the width of the 95 % interval") for line in found.tables[0].reading)
    assert '<span class="sub">episodes ± 2.00</span>' in FORMATS["html"].render(found)
    assert r"50.50 $\pm$ 6.35 (episodes $\pm$ 2.00)" in FORMATS["latex"].render(found)


def test_a_table_says_what_its_scores_average(store: Store) -> None:
    (table,) = few_shot(store, 2).tables
    assert "The score of one network is over: few-shot on digits-edges 40 episodes." in table.reading
    assert {(cell.score_n, cell.score_n_of) for (cell,) in table.cells} == {(40, "episodes")}
