"""Request bodies as strict JSON: what is not plain, finite, unambiguous JSON is refused."""

import json
from typing import Any, NoReturn

from fastapi import Request

from api.problems import ApiProblem
from trainer.core.json_text import finite, unique_names

MAX_BYTES = 256 * 1024
"""The largest spec, in bytes."""
MAX_DEPTH = 32
"""The deepest nesting of objects and arrays."""


async def read(request: Request, limit: int) -> bytes:
    """Returns the body. Raises ApiProblem (413) as soon as it exceeds `limit` bytes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(limit: int) -> ApiProblem:
    """The problem (413) of a body with more than `limit` bytes."""
    return ApiProblem(413, "BODY_TOO_LARGE", "Body too large", f"the body may have at most {limit} bytes")


def parse(raw: bytes) -> Any:
    """Returns the JSON value of `raw`.

    Raises ApiProblem (400) for what is not JSON, and also for invalid UTF-8, NaN and infinity, a name that is repeated
    in one object, lone surrogates, and nesting deeper than MAX_DEPTH.
    """
    try:
        text = raw.decode()
        if _depth(text) > MAX_DEPTH:
            _refuse(f"it is nested deeper than {MAX_DEPTH} levels")
        value = json.loads(text, object_pairs_hook=unique_names, parse_constant=_no_constant, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        _refuse(f"it is not valid Unicode: {error}")
    except ValueError as error:
        _refuse(str(error))
    return value


def _refuse(why: str) -> NoReturn:
    raise ApiProblem(400, "INVALID_JSON", "Not valid JSON", f"The body cannot be read as JSON: {why}.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _depth(text: str) -> int:
    """The deepest nesting of the JSON `text`, found without recursion."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
