"""POST /experiments/plan: what an experiment would do, share, need and cost. Nothing is stored."""

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from api.body import invalid_spec, read_posted
from api.deps import TheStore
from api.routes.experiments import SPEC_SCHEMA
from orchestrator import catalogue, intake
from orchestrator.cluster.timing import RayCluster
from orchestrator.estimate.forecast import Cluster, forecast
from orchestrator.problems import InvalidSpec, Problem
from orchestrator.results import capsule
from orchestrator.settings import Settings

router = APIRouter(tags=["experiments"])
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": SPEC_SCHEMA}}}}


def cluster_of(request: Request) -> Cluster:
    return RayCluster(request.app.state.service.ray_address)


TheCluster = Annotated[Cluster, Depends(cluster_of)]


@router.post("/experiments/plan", openapi_extra=_BODY)
async def plan(
    request: Request,
    store: TheStore,
    cluster: TheCluster,
    measure: Annotated[
        bool, Query(description="first time a few steps of every kind that was never trained here")
    ] = False,
) -> dict[str, Any]:
    """What the same body would do if it were posted to /experiments, with data that is not prepared as a warning.

    `nodes`, `epochs`, `steps` and `evaluations` count what is asked for, what differs, what is done here, what another
    experiment is at, and what is left to do; `sharing` says why. `quote` has hours with their interval and basis, and is null
    where nobody has timed such work; `storage` is in bytes.
    """
    raw, _ = await read_posted(request, capsule.MAX_BYTES)
    service: Settings = request.app.state.service

    def answer() -> dict[str, Any]:
        missing: list[Problem] = []
        posted = capsule.opened(raw).spec if capsule.is_capsule(raw) else raw
        spec = intake.read_spec(posted, store, catalogue.unchecked(request.app.state.home), missing)
        free = shutil.disk_usage(service.storage if service.storage.exists() else service.home).free
        return forecast(spec, missing, store, cluster, free, measure=measure)

    try:
        return await run_in_threadpool(answer)
    except InvalidSpec as error:
        raise invalid_spec(error) from error
