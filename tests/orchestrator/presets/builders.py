"""The names of the presets, and what the tests read of one: its plan, its epochs and its generations."""

from typing import Any

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.estimate.epochs import epoch_totals
from orchestrator.plan import Plan
from orchestrator.problems import Problem
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store

TABLES = [*(f"table-{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12)), "figure-2", "figure-3"]
PAPER = [f"paper/{name}" for name in [*TABLES, "all"]]
DIGITS = [f"digits/{name}" for name in [*TABLES, "all"]]


def read(store: Store, raw: dict[str, Any]) -> tuple[ExperimentSpec, Plan, list[Problem]]:
    missing: list[Problem] = []
    spec = intake.read_spec(raw, store, missing=missing)
    return spec, planning.plan(spec), missing


def cost(store: Store, raw: dict[str, Any]) -> tuple[int, int]:
    spec, plan, _ = read(store, raw)
    found = epoch_totals(spec, plan)
    return found["separate"], found["shared"]


def generations(store: Store, name: str, changes: dict[str, Any] | None = None) -> dict[tuple[str, int], str]:
    """The key of each generation of each arm."""
    _, plan, _ = read(store, {"preset": name} | (changes or {}))
    return {(use.arm, use.generation): use.key for use in plan.uses if (use.kind, use.seed) == ("generation", 0)}
