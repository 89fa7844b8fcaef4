"""Reads JSON that a person wrote: what is not plain, finite, unambiguous JSON is refused, with line and column."""

import json
import re
from typing import Any, NoReturn

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|-?Infinity|NaN', re.DOTALL)


def parsed(raw: bytes) -> Any:
    """Returns the JSON value of `raw`, which may begin with a byte order mark.

    Raises ValueError, with a clause that continues the name of the file, for what is empty or not JSON, and also for
    text that is not UTF-8, NaN and infinity, a name that is repeated in one object, and nesting that is too deep.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if not text.strip():
        raise ValueError("is empty")
    try:
        return json.loads(text, object_pairs_hook=unique_names, parse_constant=_no_constant, parse_float=finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except _ConstantError as error:
        place = next((each.start() for each in _TOKEN.finditer(text) if each.group() == str(error)), 0)
        line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
        raise ValueError(f"is not JSON: {error} at line {line}, column {column} is not a number of JSON") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error


class _ConstantError(ValueError):
    """NaN, Infinity or -Infinity, which Python's reader accepts and JSON does not have."""


def _no_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of JSON from its members. Raises ValueError for a name that is repeated."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} appears twice in one object")
        found[name] = value
    return found


def finite(text: str) -> float:
    """Returns the number `text` of JSON. Raises ValueError for one that is too large for a float."""
    value = float(text)
    if value in (float("inf"), -float("inf")):
        raise ValueError(f"{text} is too large for a number")
    return value
