"""The tables of the presets and the numbers that the paper prints in them."""

import json

import pytest

from orchestrator import presets
from orchestrator.spec.tables import ReportTable
from orchestrator.store import Store
from tests.orchestrator.presets.builders import DIGITS, PAPER, read


@pytest.mark.parametrize("name", [*PAPER, *DIGITS])
def test_a_preset_evaluates_what_it_prints(store: Store, name: str) -> None:
    """Every printed number has a cell that is evaluated; in four tables, cells without a printed number are not."""
    spec, plan, _ = read(store, {"preset": name})
    evaluated = {
        (use.arm, use.generation, node.evaluator["name"], node.target_label)
        for use in plan.uses
        if (node := plan.nodes[use.key]).evaluator is not None
    }
    for table in spec.tables:
        for row, column, cell in table.cells():
            assert cell.arm is not None
            arm = spec.arm(cell.arm)
            where = cell.arm, cell.generation, cell.evaluator, cell.dataset or spec.data_of(arm).label
            measured = cell.evaluator == "training" or where in evaluated
            assert measured or table.printed(row, column) is None
            if table.published is not None and table.name in ("table-2", "table-7", "table-8", "table-9"):
                assert measured == (table.printed(row, column) is not None)


def test_numbers_of_the_paper_are_in_the_cells_where_it_prints_them() -> None:
    def printed(preset: str, row: str, column: str, table: str | None = None) -> object:
        spec = presets.known()[f"paper/{preset}"].spec
        found = ReportTable.model_validate_json(
            json.dumps(next(t for t in spec["tables"] if t["name"] == (table or preset)))
        )
        rows, columns = ([axis.label for axis in axes] for axes in (found.rows, found.columns))
        return found.printed(rows.index(row), columns.index(column))

    assert printed("table-1", "SEAL", "Flower") == 45.68
    assert printed("table-2", "Gen=10", "SEAL") == 59.22
    assert printed("table-4", "SEAL", "CropDisease", "table-4-5shot-linear") == (85.0, 0.61)
    assert printed("table-5", "Normal", "ChestX", "table-5-50shot-affines") == (24.2, 0.40)
    assert printed("table-6", "LLF", "Negative %") == 14.63
    assert printed("table-7", "Gen=10", "SEAL+Reverse") == 41.05
    assert printed("table-8", "Gen=3", "LLF") == 52.36
    assert printed("table-9", "Gen=10 (printed: the best)", "Yang et al.") == 73.72
    assert printed("table-10", "Gen=Last (Student)", "SEAL") == 78.50
    assert printed("table-11", "Gen=3", "E=90") == 57.8
    assert printed("table-12", "LLF", "MIT") == 25.67
    assert printed("figure-3", "LLF, G=10", "Block4.1") == 45.62
    assert printed("table-2", "Gen=1", "LLF") is None
