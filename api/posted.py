"""A spec or a capsule as it arrives, and the answer to one that is wrong."""

from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api import body
from api.problems import ApiProblem
from orchestrator import capsule
from orchestrator.problems import InvalidSpec


async def read_spec(request: Request) -> tuple[Any, bytes]:
    """A spec or a capsule, parsed, and its bytes; a capsule may have more of them. Raises ApiProblem (413, 400)."""
    raw = await body.read(request, capsule.MAX_BYTES)
    if len(raw) > body.MAX_BYTES and b'"relearn_capsule"' not in raw:
        raise body.too_large(body.MAX_BYTES)
    return await run_in_threadpool(body.parse, raw), raw


def invalid_spec(error: InvalidSpec) -> ApiProblem:
    """Every problem of a spec that was posted."""
    problems = [problem.as_json() for problem in error.problems]
    detail = f"{len(problems)} problem(s) found; nothing was stored"
    return ApiProblem(422, "INVALID_SPEC", "The experiment's spec is invalid", detail, problems)
