"""A request body as JSON, strictly: one that is not plain, finite, unambiguous JSON is refused before it is read further."""

import json
from typing import Any, NoReturn

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api.problems import ApiProblem
from orchestrator.problems import InvalidSpec

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32


async def read(request: Request, most: int = MAX_BYTES) -> bytes:
    """The body. Raises ApiProblem (413) as soon as it has more than `most` bytes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise too_large(most)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(most: int) -> ApiProblem:
    return ApiProblem(413, "BODY_TOO_LARGE", "Body too large", f"it has at most {most} bytes")


def parse(raw: bytes) -> Any:
    """`raw` as JSON. Raises ApiProblem for bad UTF-8, NaN, repeated names, lone surrogates, and nesting beyond MAX_DEPTH."""
    try:
        text = raw.decode()
        if _depth(text) > MAX_DEPTH:
            _refuse(f"it is nested deeper than {MAX_DEPTH} levels")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        _refuse(f"it is not valid Unicode: {error}")
    except ValueError as error:
        _refuse(str(error))
    return value


def _refuse(why: str) -> NoReturn:
    raise ApiProblem(400, "INVALID_JSON", "Not valid JSON", f"The body cannot be read as JSON: {why}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands twice in one object")
        found[name] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), -float("inf")):
        raise ValueError(f"{text} is too large for a number")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _depth(text: str) -> int:
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


async def read_posted(request: Request, capsule_bytes: int) -> tuple[Any, bytes]:
    """A spec or a capsule, parsed, and its bytes; a capsule may have `capsule_bytes` of them. Raises ApiProblem (413, 400)."""
    raw = await read(request, capsule_bytes)
    if len(raw) > MAX_BYTES and b'"relearn_capsule"' not in raw:
        raise too_large(MAX_BYTES)
    return await run_in_threadpool(parse, raw), raw


def invalid_spec(error: InvalidSpec) -> ApiProblem:
    """Every problem of a spec that was posted."""
    problems = [problem.as_json() for problem in error.problems]
    detail = f"{len(problems)} problem(s) found; nothing was stored"
    return ApiProblem(422, "INVALID_SPEC", "The experiment's spec is invalid", detail, problems)
