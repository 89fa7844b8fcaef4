"""POST /experiments/plan: what an experiment would train, share and cost. Nothing is stored."""

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from api.deps import ClusterDep, ServiceDep, StoreDep
from api.posted import REQUEST_BODY, invalid_spec, read_posted
from orchestrator import catalogue, intake
from orchestrator.estimate.forecast import forecast
from orchestrator.problems import InvalidSpec, Problem

router = APIRouter(tags=["experiments"])


@router.post("/experiments/plan", openapi_extra=REQUEST_BODY)
async def plan(
    request: Request,
    store: StoreDep,
    cluster: ClusterDep,
    service: ServiceDep,
    measure: Annotated[
        bool, Query(description="first time a few steps of every kind of work that was never trained here")
    ] = False,
) -> dict[str, Any]:
    """Returns what posting the same body to /experiments would do. Data that is not prepared is only a warning here.

    `nodes`, `epochs`, `steps` and `evaluations` count the work that is requested, that is unique, that is already done
    here, that another experiment is doing, and that is left to do; `sharing` gives the reasons. `quote` has hours with
    their interval and basis; hours are null if no such work was ever timed. `storage` is in bytes.
    """
    posted = await read_posted(request)

    def answer() -> dict[str, Any]:
        missing: list[Problem] = []
        spec = intake.read_spec(posted.spec, store, catalogue.unchecked(service.home), missing)
        free = shutil.disk_usage(service.storage if service.storage.exists() else service.home).free
        return forecast(spec, missing, store, cluster, free, measure=measure)

    try:
        return await run_in_threadpool(answer)
    except InvalidSpec as error:
        raise invalid_spec(error) from error
