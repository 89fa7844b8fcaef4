"""Reads a posted spec: expands presets, grids, searches and references to earlier work, and validates the result."""

from collections.abc import Mapping

from orchestrator import presets
from orchestrator.intake import grids, references, search
from orchestrator.intake.check import check
from orchestrator.intake.source_map import SourceMap
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store


def read_spec(
    raw: object, store: Store, refused: Mapping[str, str] | None = None, missing: list[Problem] | None = None
) -> ExperimentSpec:
    """Returns the resolved spec of `raw` on this installation.

    `refused` and `missing` have the same meaning as in `check`. Raises InvalidSpec with every problem; the pointers of
    the problems refer to `raw`.
    """
    if not isinstance(raw, dict):
        return check(raw)
    written, problems = presets.expand(raw)
    if problems:
        raise InvalidSpec(problems)
    expanded, source, problems = grids.expand(written, SourceMap())
    expanded, source, undrawn = search.expand(expanded, source, refused or {})
    expanded, unresolved = references.resolve(expanded, store)
    found = [*undrawn, *unresolved]
    try:
        spec = check(expanded, refused, missing)
    except InvalidSpec as error:
        found += error.problems
    if problems or found:
        raise InvalidSpec(list(dict.fromkeys([*problems, *source.reported(found)])))
    return spec
