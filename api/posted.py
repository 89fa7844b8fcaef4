"""What POST /experiments and POST /experiments/plan take: a spec, or a capsule that contains one.

This module is apart from `api.body` because it loads torch, which the commands that only call the API do without.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api import body
from api.problems import ApiProblem
from orchestrator.problems import InvalidSpec
from orchestrator.results import capsule
from orchestrator.spec import ExperimentSpec

_SCHEMA = ExperimentSpec.model_json_schema(ref_template="#/components/schemas/{model}")
SPEC_PARTS: dict[str, Any] = _SCHEMA.pop("$defs")
"""The schemas that REQUEST_BODY refers to; the application adds them to the components of its OpenAPI description."""
REQUEST_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}
"""The OpenAPI description of the body, as `openapi_extra` of a route."""


@dataclass(frozen=True)
class Posted:
    """What a request body contains: the spec, not yet checked, and the capsule that it is part of, if it is one."""

    spec: Any
    capsule: dict[str, Any] | None
    sha256: str
    """The digest of the bytes of the body."""


async def read_posted(request: Request) -> Posted:
    """Reads the body; a capsule may be larger than a spec.

    Raises ApiProblem if the body is too large (413), not JSON (400), or a capsule that was changed (422).
    """
    raw = await body.read(request, capsule.MAX_BYTES)
    if len(raw) > body.MAX_BYTES and b'"relearn_capsule"' not in raw:
        raise body.too_large(body.MAX_BYTES)
    return await run_in_threadpool(_opened, raw)


def _opened(raw: bytes) -> Posted:
    document, sha256 = body.parse(raw), hashlib.sha256(raw).hexdigest()
    if not capsule.is_capsule(document):
        return Posted(document, None, sha256)
    try:
        return Posted(capsule.opened(document).spec, document, sha256)
    except InvalidSpec as error:
        raise invalid_spec(error) from error


def invalid_spec(error: InvalidSpec) -> ApiProblem:
    """The problem (422) of an invalid spec; it lists everything that is wrong."""
    problems = [problem.as_json() for problem in error.problems]
    return ApiProblem(
        422,
        "INVALID_SPEC",
        "The experiment's spec is invalid",
        f"{len(problems)} problem(s) found; nothing was stored",
        problems,
    )
