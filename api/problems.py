"""Errors as problem documents (RFC 9457). No answer contains a stack trace."""

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from trainer.core.mistakes import wording


class ApiProblem(Exception):  # noqa: N818  RFC 9457's word
    """An answer that is not a success: programs read the stable `code`, people read `detail`."""

    def __init__(
        self, status: int, code: str, title: str, detail: str, errors: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.title, self.detail, self.errors = status, code, title, detail, errors


def not_found(what: str) -> ApiProblem:
    """The problem (404) of an experiment that does not exist; `what` names it."""
    return ApiProblem(404, "NOT_FOUND", "Not found", f"{what} does not exist; GET /experiments lists the existing ones")


async def answer(request: Request, problem: Exception) -> JSONResponse:
    """Returns the problem document of an ApiProblem."""
    assert isinstance(problem, ApiProblem)
    body = {
        "type": f"/docs/problems#{problem.code.lower().replace('_', '-')}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": request.url.path,
    }
    if problem.errors is not None:
        body["errors"] = problem.errors
    return JSONResponse(body, problem.status, media_type="application/problem+json")


async def answer_http(request: Request, error: Exception) -> JSONResponse:
    """Returns the problem document of a request that the framework refuses (no such route, method not allowed)."""
    assert isinstance(error, HTTPException)
    problem = ApiProblem(error.status_code, "HTTP_ERROR", str(error.detail), str(error.detail))
    document = await answer(request, problem)
    document.headers.update(error.headers or {})
    return document


async def answer_invalid(request: Request, error: Exception) -> JSONResponse:
    """Returns the problem document of an invalid query, path or header parameter."""
    assert isinstance(error, RequestValidationError)
    errors = [{"parameter": str(each["loc"][-1]), "message": wording(each)} for each in error.errors()]
    problem = ApiProblem(
        422,
        "INVALID_PARAMETER",
        "Invalid parameter",
        f"{len(errors)} problem(s) found",
        errors,
    )
    return await answer(request, problem)


async def answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    """Returns the problem document of an unexpected error; the server's log has the traceback."""
    return await answer(request, ApiProblem(500, "INTERNAL", "Internal error", "The server's log has the details."))
