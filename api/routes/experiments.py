"""POST /experiments and GET /experiments; the state, spec, results, events and cancellation of one experiment."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.deps import ExperimentDep, ServiceDep, StoreDep, SupervisorDep
from api.posted import REQUEST_BODY, invalid_spec, read_posted
from api.problems import ApiProblem
from orchestrator import catalogue, intake, results
from orchestrator import plan as planning
from orchestrator.problems import InvalidSpec
from orchestrator.states import TERMINAL
from orchestrator.store import KeyReused, Store
from orchestrator.store.records import Experiment

router = APIRouter(tags=["experiments"])
STREAM_S = 1.0
"""Seconds between two looks of a progress stream at the database."""
KEEP_ALIVE_S = 15.0
"""Seconds without an event after which a stream sends a comment, so that proxies keep the connection open."""


@router.post("/experiments", status_code=202, openapi_extra=REQUEST_BODY)
async def submit(
    request: Request,
    response: Response,
    store: StoreDep,
    supervisor: SupervisorDep,
    service: ServiceDep,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> dict[str, Any]:
    """Accepts an experiment, which starts when its turn comes. If the spec is invalid, the answer lists every problem.

    A request that repeats an earlier Idempotency-Key and body gets the experiment of the first request. The body may be
    a capsule instead of a spec: its experiment is run again, and GET /experiments/{id}/verdict compares the two.
    """
    posted = await read_posted(request)

    def accept() -> tuple[Experiment, bool]:
        identity, new = store.answered(idempotency_key, posted.sha256), False
        if identity is None:
            spec = intake.read_spec(posted.spec, store, catalogue.unchecked(service.home))
            identity, new = store.submit(
                spec.name,
                spec.model_dump(mode="json"),
                planning.plan(spec),
                idempotency_key,
                posted.sha256,
                posted.capsule,
            )
        row = store.experiment(identity)
        assert row is not None
        return row, new

    try:
        experiment, new = await run_in_threadpool(accept)
    except InvalidSpec as error:
        raise invalid_spec(error) from error
    except KeyReused as error:
        raise ApiProblem(422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key reused", str(error)) from error
    supervisor.wake()
    response.headers["Location"] = f"/experiments/{experiment.id}"
    if not new:
        response.headers["Idempotency-Replayed"] = "true"
    return results.summary(experiment) | {"plan": experiment.plan}


@router.get("/experiments")
def list_experiments(store: StoreDep, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, Any]:
    """Lists the newest experiments, newest first."""
    return {"items": [results.summary(row) for row in store.experiments(limit=limit)]}


@router.get("/experiments/{experiment_id}")
def show(experiment: ExperimentDep, store: StoreDep) -> dict[str, Any]:
    """Returns the experiment's state, its progress, and the current generation and epoch of every arm and seed."""
    return results.view(store, experiment)


@router.get("/experiments/{experiment_id}/spec")
def spec(experiment: ExperimentDep) -> dict[str, Any]:
    """Returns the resolved spec: every field that was omitted has its value."""
    return experiment.spec


@router.get("/experiments/{experiment_id}/results")
def result_rows(experiment: ExperimentDep, store: StoreDep) -> dict[str, Any]:
    """Returns what was measured so far as tidy rows.

    A row has arm, seed, generation, evaluator, dataset, metric, value, low, high, n and details. `details` has the
    evaluator's version and settings, the digests of data and episodes, and `notes`: what to know before trusting the
    score. Rows of the evaluator `training` have the test accuracy of a generation's last epoch, and of its best epoch.
    """
    return {"state": experiment.state, "rows": list(results.result_rows(store, experiment))}


@router.get("/experiments/{experiment_id}/events")
async def events(experiment: ExperimentDep, store: StoreDep) -> StreamingResponse:
    """Streams server-sent events: `progress` with the experiment's view whenever it changes, then a final `end`."""
    return StreamingResponse(_stream(store, experiment.id), media_type="text/event-stream")


@router.post("/experiments/{experiment_id}/cancel", status_code=202)
def cancel(experiment: ExperimentDep, store: StoreDep, supervisor: SupervisorDep) -> dict[str, Any]:
    """Cancels the experiment. Committed generations are kept, and later experiments that need them use them."""
    if experiment.state in TERMINAL:
        detail = f"the experiment is already {experiment.state}"
        raise ApiProblem(409, "ALREADY_ENDED", "The experiment has ended", detail)
    store.cancel(experiment.id)
    supervisor.wake()
    current = store.experiment(experiment.id)
    assert current is not None
    return results.summary(current)


async def _stream(store: Store, identity: str) -> AsyncIterator[str]:
    last = None
    silent_s = 0.0
    while True:
        row = await run_in_threadpool(store.experiment, identity)
        assert row is not None
        view = await run_in_threadpool(results.view, store, row)
        # the estimates in `progress` change all the time: only a finished epoch counts as a change
        state = {key: value for key, value in view.items() if key != "progress"}
        state["epochs"] = view["progress"]["epochs_done"]
        if state != last:
            last, silent_s = state, 0.0
            yield f"event: progress\ndata: {json.dumps(view)}\n\n"
        if row.state in TERMINAL:
            yield "event: end\ndata: {}\n\n"
            return
        silent_s += STREAM_S
        if silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield ": keep-alive\n\n"
        await asyncio.sleep(STREAM_S)
