"""Rules for the tables of the report: every cell must refer to something that the experiment has."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.intake.partial import PartialSpec
from orchestrator.intake.rules.common import contradiction, repeated, unknown_arm
from orchestrator.intake.rules.generations import lacking
from orchestrator.problems import Problem, nearest
from orchestrator.spec.tables import Cell, ReportTable


def table_problems(spec: PartialSpec, generations: dict[str, range]) -> Iterator[Problem]:
    """Yields the problems of each table's shape, cells and name.

    `generations` maps the name of each arm to its generations.
    """
    evaluators = [each.name for each in spec.evaluations if each is not None and each.name is not None] + ["training"]
    for index, each in enumerate(spec.tables):
        if each is not None and each.table.value is not None:
            yield from _shape_problems(f"/tables/{index}/published", each.table.value)
            yield from _Cells(f"/tables/{index}", each.table.value, generations, evaluators).problems()
    yield from repeated("/tables/{}/name", [each.name if each is not None else None for each in spec.tables])


def _shape_problems(pointer: str, table: ReportTable) -> Iterator[Problem]:
    """Yields a problem if the published values do not have the shape of the table."""
    if table.published is not None:
        lengths = [len(row) for row in table.published]
        if lengths != [len(table.columns)] * len(table.rows):
            shape = f"{len(table.rows)} rows of {len(table.columns)} values"
            message = f"the table has {shape}: give as many published values, and null where none was printed"
            yield contradiction(pointer, message)


@dataclass(frozen=True)
class _Cells:
    """The cells of the table at `pointer`.

    `generations` maps the name of each arm to its generations. `evaluators` are the known names of evaluators.
    """

    pointer: str
    table: ReportTable
    generations: dict[str, range]
    evaluators: list[str]

    def problems(self) -> Iterator[Problem]:
        """Yields the problems of the cells. A wrong value of a row or column is reported once, not for every cell."""
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
                    problem = Problem(at_row, "MISSING_FIELD", f"{name} is required: give it for the row or the column")
                if problem is not None:
                    reported.add((at, value))
                    yield problem

    def _clash(self, row: int, column: int, name: str) -> Problem | None:
        """Returns a problem if the row and the column have different values of a field."""
        across, down = getattr(self.table.rows[row], name), getattr(self.table.columns[column], name)
        if across is None or down is None or across == down:
            return None
        message = f"the row has {across!r} and column {column} has {down!r}: leave one out"
        return contradiction(f"{self.pointer}/rows/{row}/{name}", message)

    def _unknown(self, pointer: str, cell: Cell, name: str) -> Problem | None:
        """Returns a problem if the experiment does not have the arm, evaluator or generation of a cell."""
        if name == "arm" and cell.arm is not None and cell.arm not in self.generations:
            return unknown_arm(pointer, cell.arm, self.generations)
        if name == "evaluator" and cell.evaluator is not None and cell.evaluator not in self.evaluators:
            message = f"{cell.evaluator!r} is not among the evaluations of this experiment"
            return Problem(pointer, "UNKNOWN_VALUE", message, nearest(cell.evaluator, self.evaluators))
        if name == "generation" and cell.arm in self.generations and cell.generation is not None:
            available = self.generations[cell.arm]
            if cell.generation not in available:
                return contradiction(pointer, lacking(cell.generation, cell.arm, available))
        return None
