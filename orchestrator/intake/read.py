"""From what a researcher posted to a resolved spec: presets, grids, searches and references to earlier work are written out."""

from collections.abc import Mapping

from orchestrator import presets
from orchestrator.intake import grids, references, search
from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.spec import ExperimentSpec
from orchestrator.store import Store


def read_spec(
    raw: object, store: Store, refused: Mapping[str, str] | None = None, missing: list[Problem] | None = None
) -> ExperimentSpec:
    """The spec that `raw` means, on this installation. Raises InvalidSpec with every problem, at the place it was written.

    `refused` and `missing` are as in `check`.
    """
    if not isinstance(raw, dict):
        return check(raw)
    written, problems = presets.expand(raw)
    if problems:
        raise InvalidSpec(problems)
    expanded, origins, problems = grids.expand(written)
    sampled, places, unsampled = search.expand(expanded, refused or {})
    resolved, wrong = references.resolve(sampled, store)
    try:
        spec = check(resolved, refused, missing)
    except InvalidSpec as error:
        wrong += error.problems
    if problems or unsampled or wrong:
        told = (grids.as_written(problem, origins) for problem in places.told([*unsampled, *wrong]))
        raise InvalidSpec(list(dict.fromkeys([*problems, *told])))
    return spec
