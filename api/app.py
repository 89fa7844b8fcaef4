"""The FastAPI application: its routes, its problem documents, and the supervisor that runs beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from api import posted, problems
from api.auth import require_token
from api.routes import capsules, catalogue, experiments, gc, plans, presets, reports
from api.settings import ApiSettings
from orchestrator.cluster.jobs import Cluster
from orchestrator.store import Store
from orchestrator.supervisor import Executor, Supervisor


def create_app(settings: ApiSettings, executor: Executor | None = None) -> FastAPI:
    """Returns the application of one installation.

    Attempts at experiments run on `executor`; the default is the Ray cluster of the settings.
    """
    service = settings.service
    service.home.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = Store(service.database_url)
        supervisor = Supervisor(
            store, executor or Cluster(service.ray_address), service.tracking_uri, service.max_running
        )
        app.state.store, app.state.supervisor, app.state.service = store, supervisor, service
        supervisor.start()
        yield
        supervisor.end()
        store.close()

    def token(request: Request) -> None:
        require_token(settings.token, request)

    app = FastAPI(
        title="relearn",
        summary="Trains neural networks by forgetting and relearning, and measures what they learned.",
        lifespan=lifespan,
        dependencies=[Depends(token)],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts))
    app.add_exception_handler(problems.ApiProblem, problems.answer)
    app.add_exception_handler(HTTPException, problems.answer_http)
    app.add_exception_handler(RequestValidationError, problems.answer_invalid)
    app.add_exception_handler(Exception, problems.answer_unexpected)
    app.include_router(experiments.router)
    app.include_router(plans.router)
    app.include_router(catalogue.router)
    app.include_router(reports.router)
    app.include_router(presets.router)
    app.include_router(capsules.router)
    app.include_router(gc.router)

    @app.get("/healthz", tags=["service"])
    def healthz(request: Request) -> dict[str, Any]:
        """Reports whether the API, its database and its supervisor are up, and the addresses of the dashboards."""
        request.app.state.store.experiments(limit=1)
        return {"status": "ok", "supervisor": request.app.state.supervisor.alive, "links": settings.links}

    def description() -> dict[str, Any]:
        document = FastAPI.openapi(app)
        document["components"]["schemas"].update(posted.SPEC_PARTS)
        return document

    app.openapi = description  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app
