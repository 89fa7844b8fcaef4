"""What a report's table names that the experiment does not have."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.intake.partial import PartialSpec
from orchestrator.intake.rules.common import contradiction, repeated, unknown_arm
from orchestrator.intake.rules.generations import lacking
from orchestrator.problems import Problem, nearest
from orchestrator.spec.tables import Cell, ReportTable


def table_problems(spec: PartialSpec, spans: dict[str, range]) -> Iterator[Problem]:
    """Problems of each table's cells, shape and name; `spans` are the generations of each arm by name."""
    evaluators = [each.name for each in spec.evaluations if each is not None and each.name is not None] + ["training"]
    for index, each in enumerate(spec.tables):
        if each is not None and each.table.value is not None:
            yield from _shape_problems(f"/tables/{index}/published", each.table.value)
            yield from _Cells(f"/tables/{index}", each.table.value, spans, evaluators).problems()
    yield from repeated("/tables/{}/name", [each.name if each is not None else None for each in spec.tables])


def _shape_problems(pointer: str, table: ReportTable) -> Iterator[Problem]:
    if table.published is not None:
        lengths = [len(row) for row in table.published]
        if lengths != [len(table.columns)] * len(table.rows):
            shape = f"{len(table.rows)} rows of {len(table.columns)} values"
            yield contradiction(pointer, f"the table has {shape}: give as many, null where nothing was printed")


@dataclass(frozen=True)
class _Cells:
    """A table at `pointer`, the generations of each arm by name, and the names of the evaluators that there are."""

    pointer: str
    table: ReportTable
    spans: dict[str, range]
    evaluators: list[str]

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the cells; a value that a row or column gives to several of them is reported once."""
        reported = set()
        for row, column, cell in self.table.cells():
            for name, value in cell._asdict().items():
                across = getattr(self.table.rows[row], name)
                at = f"rows/{row}/{name}" if across is not None else f"columns/{column}/{name}"
                if (at, value) in reported:
                    continue
                problem = self._clash(row, column, name) or self._unknown(f"{self.pointer}/{at}", cell, name)
                if value is None and name in ("arm", "evaluator", "metric"):
                    at_row = f"{self.pointer}/rows/{row}/{name}"
                    problem = Problem(at_row, "MISSING_FIELD", f"row or column must say which {name}")
                if problem is not None:
                    reported.add((at, value))
                    yield problem

    def _clash(self, row: int, column: int, name: str) -> Problem | None:
        across, down = getattr(self.table.rows[row], name), getattr(self.table.columns[column], name)
        if across is None or down is None or across == down:
            return None
        message = f"the row says {across!r} where column {column} says {down!r}: leave one out"
        return contradiction(f"{self.pointer}/rows/{row}/{name}", message)

    def _unknown(self, pointer: str, cell: Cell, name: str) -> Problem | None:
        if name == "arm" and cell.arm is not None and cell.arm not in self.spans:
            return unknown_arm(pointer, cell.arm, self.spans)
        if name == "evaluator" and cell.evaluator is not None and cell.evaluator not in self.evaluators:
            message = f"{cell.evaluator!r} is not among the evaluations of this experiment"
            return Problem(pointer, "UNKNOWN_VALUE", message, nearest(cell.evaluator, self.evaluators))
        if name == "generation" and cell.arm in self.spans and cell.generation is not None:
            span = self.spans[cell.arm]
            if cell.generation not in span:
                return contradiction(pointer, lacking(cell.generation, cell.arm, span))
        return None
