"""Converts the errors of pydantic into problems, with a pointer, a message and the nearest known name."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

import evaluators
from orchestrator.problems import Problem, nearest
from orchestrator.spec import ExperimentSpec
from trainer import methods


def problems_of(error: ValidationError, raw: object) -> Iterator[Problem]:
    """Yields one problem for every error that pydantic found in `raw`."""
    for details in error.errors(include_url=False):
        if not _consequence(details):
            yield _problem(details, raw)


_RANGES = ("greater_than", "less_than", "too_short", "too_long", "string_too_", "finite_number", "string_pattern")
_CHOICES = ("literal_error", "union_tag_invalid")
_CODES = {"duplicate": "DUPLICATE", "value_error": "CONTRADICTION"}


def _consequence(details: Any) -> bool:
    """Returns whether the error only states that a list is too short without its invalid items.

    The invalid items have problems of their own.
    """
    return bool(details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"])


def _problem(details: Any, raw: object) -> Problem:
    """Returns the problem of one error of pydantic."""
    kind, context = str(details["type"]), details.get("ctx", {})
    path, known = _locate(list(details["loc"]), raw)
    name = path[-1] if path else ""
    if kind == "extra_forbidden":
        return Problem(_pointer(path), "UNKNOWN_FIELD", f"{name!r} is not a field here", nearest(str(name), known))
    if kind in _CHOICES:
        expected = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
        given = context.get("tag") if kind == "union_tag_invalid" else details.get("input")
        if kind == "union_tag_invalid":
            path = [*path, "name"]
        message = f"{given!r} is not known here; expected {', '.join(expected)}"
        if kind == "union_tag_invalid" and (why := _why_not_offered(path, str(given))):
            message = f"{given!r} cannot be used: {why}"
        return Problem(_pointer(path), "UNKNOWN_VALUE", message, nearest(str(given), expected))
    if kind == "union_tag_not_found":
        return Problem(_pointer([*path, "name"]), "MISSING_FIELD", "name is required")
    if kind == "missing":
        return Problem(_pointer(path), "MISSING_FIELD", f"{name} is required")
    if kind in ("too_short", "too_long"):
        limit = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        message = f"has {len(details['input'])} items: give {limit}"
        return Problem(_pointer(path), "OUT_OF_RANGE", message)
    if kind in _CODES:
        return Problem(_pointer(path), _CODES[kind], str(context.get("error", details["msg"])))
    code = "OUT_OF_RANGE" if kind.startswith(_RANGES) else "WRONG_TYPE"
    value = details.get("input")
    shown = f", got {value!r}" if isinstance(value, str | int | float | bool) and len(str(value)) <= 100 else ""
    return Problem(_pointer(path), code, f"{details['msg'].removeprefix('Input ')}{shown}")


def _why_not_offered(path: Sequence[str | int], name: str) -> str | None:
    """Returns why the installed package that offers the method or evaluator at `path` cannot be used, if one does."""
    offered = {"method": methods.PLUGINS, "evaluator": evaluators.PLUGINS}.get(
        str(path[-2]) if len(path) > 1 else "", {}
    )
    plugin = offered.get(name)
    return None if plugin is None or plugin.problem is None else f"the package {plugin.package}: {plugin.problem}"


def _locate(location: list[str | int], raw: object) -> tuple[list[str | int], list[str]]:
    """Returns the path of pydantic's `location` in `raw`, without union tags, and its last object's known fields."""
    path: list[str | int] = []
    schema: dict[str, Any] = _SCHEMA
    for step in location:
        schema = _dereferenced(schema)
        mapping = schema.get("discriminator", {}).get("mapping", {})
        if step in mapping:  # the tag of a union, which is not in the document
            schema = _dereferenced({"$ref": mapping[step]})
        elif step in _TAGS and isinstance(raw, dict) and step not in raw:  # the tag of a union without a discriminator
            schema = _SCHEMA["$defs"][_TAGS[str(step)]]
        elif isinstance(raw, dict):
            path.append(step)
            known, raw = list(schema.get("properties", {})), raw.get(step)
            schema = schema.get("properties", {}).get(step, {})
            if step == location[-1]:
                return path, known
        elif isinstance(raw, list) and isinstance(step, int):
            path.append(step)
            raw, schema = raw[step] if step < len(raw) else None, schema.get("items", {})
    return path, []


def _dereferenced(schema: dict[str, Any]) -> dict[str, Any]:
    """Follows references, and removes the alternative null."""
    while "$ref" in schema or "anyOf" in schema:
        if "$ref" in schema:
            schema = _SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        else:
            schema = next((each for each in schema["anyOf"] if each.get("type") != "null"), {})
    return schema


def _pointer(path: Sequence[str | int]) -> str:
    """Returns the JSON pointer (RFC 6901) of a path."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


_SCHEMA: dict[str, Any] = ExperimentSpec.model_json_schema()
_TAGS = {"committed": "Committed", "weights": "Weights"}
"""Maps the tags of unions without a discriminator to the names of their members in the schema."""
