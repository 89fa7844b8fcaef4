"""What a report's table names that the experiment does not have."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from orchestrator.intake.rules.generations import outside
from orchestrator.problems import Problem, nearest
from orchestrator.spec.tables import ReportTable


def table_problems(pointer: str, raw: object, spans: dict[str, range], evaluations: list[Any]) -> Iterator[Problem]:
    """What the raw table names that the experiment has not; `spans` are the generations of each arm by name."""
    try:
        table = ReportTable.model_validate_json(json.dumps(raw))
    except ValidationError:
        return  # told where the spec is read
    if table.published is not None:
        lengths = [len(row) for row in table.published]
        if lengths != [len(table.columns)] * len(table.rows):
            shape = f"{len(table.rows)} rows of {len(table.columns)} values"
            yield Problem(
                f"{pointer}/published",
                "CONTRADICTION",
                f"the table has {shape}: give as many, null where nothing was printed",
            )
    evaluators = [each.get("evaluator") for each in evaluations if isinstance(each, dict)]
    judging = [str(each.get("name")) for each in evaluators if isinstance(each, dict)] + ["training"]
    told = set()
    for row, column, cell in table.cells():
        for name, value in cell._asdict().items():
            across, down = getattr(table.rows[row], name), getattr(table.columns[column], name)
            at = f"rows/{row}/{name}" if across is not None else f"columns/{column}/{name}"
            if (at, name, value) in told:
                continue
            found = None
            if across is not None and down is not None and across != down:
                message = f"the row says {across!r} where column {column} says {down!r}: leave one out"
                found = Problem(f"{pointer}/{at}", "CONTRADICTION", message)
            elif value is None and name in ("arm", "evaluator", "metric"):
                found = Problem(f"{pointer}/rows/{row}/{name}", "MISSING_FIELD", f"row or column must say which {name}")
            elif name == "arm" and value not in spans:
                message = f"{value!r} is not an arm of this experiment"
                found = Problem(f"{pointer}/{at}", "UNKNOWN_VALUE", message, nearest(value, list(spans)))
            elif name == "evaluator" and value not in judging:
                message = f"{value!r} is not among the evaluations of this experiment"
                found = Problem(f"{pointer}/{at}", "UNKNOWN_VALUE", message, nearest(value, judging))
            elif name == "generation" and value is not None and cell.arm in spans and value not in spans[cell.arm]:
                found = Problem(f"{pointer}/{at}", "CONTRADICTION", outside(value, cell.arm, spans[cell.arm]))
            if found is not None:
                told.add((at, name, value))
                yield found
