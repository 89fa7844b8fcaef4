"""Rules for the tables of a report."""

from orchestrator import intake
from orchestrator.store import Store
from tests.orchestrator.builders import small
from tests.orchestrator.intake.builders import places_posted, table


def test_a_table_may_only_refer_to_parts_of_the_experiment(store: Store) -> None:
    column = table()["columns"][0]
    assert intake.read_spec(small(tables=[table(published=[[54.37]])]), store).tables[0].printed(0, 0) == 54.37
    for wrong, where in (
        (table(rows=[{"label": "x", "arm": "nomal"}]), ("/tables/0/rows/0/arm", "UNKNOWN_VALUE")),
        (table(rows=[{"label": "x"}]), ("/tables/0/rows/0/arm", "MISSING_FIELD")),
        (table(columns=[column | {"evaluator": "few-shot"}]), ("/tables/0/columns/0/evaluator", "UNKNOWN_VALUE")),
        (table(columns=[column | {"generation": 2}]), ("/tables/0/columns/0/generation", "CONTRADICTION")),
        (table(columns=[column | {"arm": "seal"}]), ("/tables/0/rows/0/arm", "CONTRADICTION")),
        (table(published=[[1.0, 2.0]]), ("/tables/0/published", "CONTRADICTION")),
    ):
        assert places_posted(small(tables=[wrong]), store) == [where]
    assert places_posted(small(tables=[table(), table()]), store) == [("/tables/1/name", "DUPLICATE")]
