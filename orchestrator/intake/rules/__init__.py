"""The rules of a spec: each finds values that are valid alone and invalid together.

A rule reads a partial spec, from which the invalid values are left out, and skips what is missing. A mistake in one
value therefore causes no further problems.
"""

from collections.abc import Iterator

from orchestrator.intake.partial import PartialSpec
from orchestrator.intake.rules.arms import arm_problems
from orchestrator.intake.rules.evaluations import evaluation_problems
from orchestrator.intake.rules.forks import fork_problems
from orchestrator.intake.rules.generations import generations_by_arm
from orchestrator.intake.rules.resources import resource_problems
from orchestrator.intake.rules.search import search_problems
from orchestrator.intake.rules.tables import table_problems
from orchestrator.problems import Problem


def problems(partial: PartialSpec) -> Iterator[Problem]:
    """Yields the problems that the rules find, in the order in which they are reported."""
    generations = generations_by_arm(partial)
    yield from arm_problems(partial)
    yield from fork_problems(partial)
    yield from resource_problems(partial)
    yield from search_problems(partial)
    yield from evaluation_problems(partial, generations)
    yield from table_problems(partial, generations)
