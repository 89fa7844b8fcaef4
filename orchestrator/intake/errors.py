"""Converts the errors of pydantic in a spec into problems, with a pointer, a message and the nearest known name."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

import evaluators
from orchestrator.problems import Problem
from orchestrator.spec import ExperimentSpec
from trainer import methods
from trainer.core.mistakes import Document


def problems_of(error: ValidationError, raw: object) -> Iterator[Problem]:
    """Yields one problem for every error that pydantic found in `raw`."""
    for path, code, message, suggestion in _DOCUMENT.mistakes(error, raw):
        yield Problem(_pointer(path), code, message, suggestion)


def _why_not_offered(path: Sequence[str | int], name: str) -> str | None:
    """Returns why the installed package that offers the method or evaluator at `path` cannot be used, if one does."""
    offered = {"method": methods.PLUGINS, "evaluator": evaluators.PLUGINS}.get(
        str(path[-2]) if len(path) > 1 else "", {}
    )
    plugin = offered.get(name)
    return None if plugin is None or plugin.problem is None else f"the package {plugin.package}: {plugin.problem}"


def _pointer(path: Sequence[str | int]) -> str:
    """Returns the JSON pointer (RFC 6901) of a path."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


_DOCUMENT = Document(
    ExperimentSpec.model_json_schema(), {"committed": "Committed", "weights": "Weights"}, _why_not_offered
)
