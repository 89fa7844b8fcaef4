"""Converts the errors of pydantic into mistakes in our own words: a path, a message, and the nearest known name."""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
Step = str | int

_RANGES = ("greater_than", "less_than", "too_short", "too_long", "string_too_", "finite_number", "string_pattern")
_CHOICES = ("literal_error", "union_tag_invalid")
_CODES = {"duplicate": "DUPLICATE", "value_error": "CONTRADICTION"}


class Mistake(NamedTuple):
    """One wrong value: its path, a stable code, a clause without the path, and the nearest known name if there is
    one."""

    path: tuple[Step, ...]
    code: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        where = f"{'/'.join(map(str, self.path))}: " if self.path else ""
        return where + self.message + (f" (did you mean {self.suggestion}?)" if self.suggestion else "")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Returns the known name that is most similar to `name`, or None if none is similar."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def _silent(path: Sequence[Step], name: str) -> str | None:
    return None


@dataclass(frozen=True)
class Document:
    """A kind of document, by its JSON schema, whose errors become mistakes.

    `tags` maps the tags of unions without a discriminator to the names of their members in the schema. `why` returns,
    for the path and name of an unknown choice, why a choice of that name cannot be used, or None.
    """

    schema: dict[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)
    why: Callable[[Sequence[Step], str], str | None] = _silent

    def mistakes(self, error: ValidationError, raw: object) -> Iterator[Mistake]:
        """Yields one mistake for every error that pydantic found in `raw`."""
        for details in error.errors(include_url=False):
            if not _consequence(details):
                yield self._mistake(details, raw)

    def _mistake(self, details: Any, raw: object) -> Mistake:
        kind, context = str(details["type"]), details.get("ctx", {})
        found, known = self._locate(list(details["loc"]), raw)
        path, name = tuple(found), found[-1] if found else ""
        if kind == "extra_forbidden":
            return Mistake(path, "UNKNOWN_FIELD", f"{name!r} is not a field here", nearest(str(name), known))
        if kind in _CHOICES:
            return self._choice(path, kind, details, context)
        if kind == "union_tag_not_found":
            return Mistake((*path, "name"), "MISSING_FIELD", "name is required")
        if kind == "missing":
            return Mistake(path, "MISSING_FIELD", f"{name} is required")
        if kind in ("too_short", "too_long"):
            limit = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
            return Mistake(path, "OUT_OF_RANGE", f"has {len(details['input'])} items: give {limit}")
        if kind in _CODES:
            return Mistake(path, _CODES[kind], str(context.get("error", details["msg"])))
        code = "OUT_OF_RANGE" if kind.startswith(_RANGES) else "WRONG_TYPE"
        value = details.get("input")
        shown = f", got {value!r}" if isinstance(value, str | int | float | bool) and len(str(value)) <= 100 else ""
        return Mistake(path, code, f"{wording(details)}{shown}")

    def _choice(self, path: tuple[Step, ...], kind: str, details: Any, context: Any) -> Mistake:
        expected = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
        given = context.get("tag") if kind == "union_tag_invalid" else details.get("input")
        message = f"{given!r} is not known here; expected {', '.join(expected)}"
        if kind == "union_tag_invalid":
            path = (*path, "name")
            if why := self.why(path, str(given)):
                message = f"{given!r} cannot be used: {why}"
        return Mistake(path, "UNKNOWN_VALUE", message, nearest(str(given), expected))

    def _locate(self, location: list[Step], raw: object) -> tuple[list[Step], list[str]]:
        """Returns the path of pydantic's `location` in `raw`, without union tags, and its last object's fields."""
        path: list[Step] = []
        schema = self.schema
        for step in location:
            schema = self._dereferenced(schema)
            mapping = schema.get("discriminator", {}).get("mapping", {})
            if step in mapping:  # the tag of a union, which is not in the document
                schema = self._dereferenced({"$ref": mapping[step]})
            elif step in self.tags and isinstance(raw, dict) and step not in raw:
                schema = self.schema["$defs"][self.tags[str(step)]]
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

    def _dereferenced(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Follows references, and removes the alternative null."""
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                schema = self.schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            else:
                schema = next((each for each in schema["anyOf"] if each.get("type") != "null"), {})
        return schema


def validated(kind: type[T] | TypeAdapter[T], raw: object) -> T:
    """Validates `raw` as `kind` by pydantic's strict rules for JSON. Raises ValueError with every mistake."""
    adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    try:
        return adapter.validate_json(json.dumps(raw))
    except ValidationError as error:
        found = Document(adapter.json_schema()).mistakes(error, raw)
        raise ValueError("; ".join(map(str, found))) from error


def _consequence(details: Any) -> bool:
    """Returns whether the error only states that a list is too short without its invalid items.

    The invalid items have mistakes of their own.
    """
    return bool(details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"])


def wording(details: Any) -> str:
    """Returns what is wrong with a value of a wrong type or out of range, from the details of pydantic's error."""
    context = details.get("ctx", {})
    match details["type"]:
        case "string_pattern_mismatch":
            return f"should have the form {context['pattern']}"
        case "string_too_short":
            return f"should have at least {context['min_length']} characters"
        case "string_too_long":
            return f"should have at most {context['max_length']} characters"
        case "int_from_float" | "int_type" | "int_parsing":
            return "should be a whole number"
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            return "should be an object"
        case "tuple_type" | "list_type":
            return "should be a list"
        case "bool_type" | "bool_parsing":
            return "should be true or false"
        case "float_type" | "float_parsing":
            return "should be a number"
        case "string_type":
            return "should be a text"
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field here"
        case "value_error":
            return str(context["error"])
    return str(details["msg"]).removeprefix("Input ")
