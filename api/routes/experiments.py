"""POST and GET /experiments, their results, events and cancellation."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.body import invalid_spec, read_posted
from api.deps import TheExperiment, TheStore, TheSupervisor
from api.problems import ApiProblem
from orchestrator import catalogue, intake, results
from orchestrator import plan as planning
from orchestrator.problems import InvalidSpec
from orchestrator.results import capsule
from orchestrator.spec import ExperimentSpec
from orchestrator.states import TERMINAL
from orchestrator.store import KeyReused, Row, Store

router = APIRouter(tags=["experiments"])
STREAM_S = 1.0
"""How often a progress stream looks for news."""
SPEC_SCHEMA = ExperimentSpec.model_json_schema(ref_template="#/components/schemas/{model}")
SPEC_PARTS: dict[str, Any] = SPEC_SCHEMA.pop("$defs")
"""What SPEC_SCHEMA refers to; the application adds it to the components of its description."""
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": SPEC_SCHEMA}}}}


@router.post("/experiments", status_code=202, openapi_extra=_BODY)
async def submit(
    request: Request,
    response: Response,
    store: TheStore,
    supervisor: TheSupervisor,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> dict[str, Any]:
    """Accepts an experiment and starts it when its turn comes. Lists every problem of a spec that is wrong.

    The same Idempotency-Key with the same body gives the first answer's experiment again. A capsule may be posted instead of
    a spec: it is done again, and GET /experiments/{id}/verdict compares.
    """
    raw, text = await read_posted(request, capsule.MAX_BYTES)
    home: Path = request.app.state.home

    def accept() -> tuple[Row, bool]:
        digest = hashlib.sha256(text).hexdigest()
        identity, new = store.answered(idempotency_key, digest), False
        if identity is None:
            posted = capsule.opened(raw) if capsule.is_capsule(raw) else None
            spec = intake.read_spec(posted.spec if posted else raw, store, catalogue.unchecked(home))
            kept = raw if posted else None
            resolved = spec.model_dump(mode="json")
            identity, new = store.submit(spec.name, resolved, planning.plan(spec), idempotency_key, digest, kept)
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
    response.headers["Location"] = f"/experiments/{experiment['id']}"
    if not new:
        response.headers["Idempotency-Replayed"] = "true"
    return results.summary(experiment) | {"plan": experiment["plan"]}


@router.get("/experiments")
def list_experiments(store: TheStore, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, Any]:
    """The newest experiments."""
    return {"items": [results.summary(row) for row in store.experiments(limit=limit)]}


@router.get("/experiments/{experiment_id}")
def show(experiment: TheExperiment, store: TheStore) -> dict[str, Any]:
    """State, progress, and where each arm and seed stands."""
    return results.view(store, experiment)


@router.get("/experiments/{experiment_id}/spec")
def spec(experiment: TheExperiment) -> dict[str, Any]:
    """The spec with everything filled in that was not given."""
    resolved: dict[str, Any] = experiment["spec"]
    return resolved


@router.get("/experiments/{experiment_id}/results")
def result_rows(experiment: TheExperiment, store: TheStore) -> dict[str, Any]:
    """Tidy rows of what was measured so far: arm, seed, generation, evaluator, dataset, metric, value, low, high, n, details.

    `details` name the evaluator's version and settings, the data and the episodes by digest, and what to know before trusting
    the score (`notes`). The evaluator `training` is the test accuracy of a generation's last epoch, and of its best.
    """
    return {"state": experiment["state"], "rows": list(results.result_rows(store, experiment))}


@router.get("/experiments/{experiment_id}/events")
async def events(experiment: TheExperiment, store: TheStore) -> StreamingResponse:
    """A stream of server-sent events: `progress` with the experiment's view whenever it changes, `end` after the last."""
    return StreamingResponse(_stream(store, experiment["id"]), media_type="text/event-stream")


@router.post("/experiments/{experiment_id}/cancel", status_code=202)
def cancel(experiment: TheExperiment, store: TheStore, supervisor: TheSupervisor) -> dict[str, Any]:
    """Ends the experiment; generations that are committed stay and are found again by the next experiment that needs them."""
    if experiment["state"] in TERMINAL:
        detail = f"it is {experiment['state']} already"
        raise ApiProblem(409, "ALREADY_ENDED", "The experiment has ended", detail)
    store.cancel(experiment["id"])
    supervisor.wake()
    current = store.experiment(experiment["id"])
    assert current is not None
    return results.summary(current)


async def _stream(store: Store, identity: str) -> AsyncIterator[str]:
    last = None
    silent_s = 0.0
    while True:
        row = await run_in_threadpool(store.experiment, identity)
        assert row is not None
        view = await run_in_threadpool(results.view, store, row)
        told = {key: value for key, value in view.items() if key != "progress"} | {
            "epochs": view["progress"]["epochs_done"]
        }
        if told != last:
            last, silent_s = told, 0.0
            yield f"event: progress\ndata: {json.dumps(view)}\n\n"
        if row["state"] in TERMINAL:
            yield "event: end\ndata: {}\n\n"
            return
        silent_s += STREAM_S
        if silent_s >= 15:
            silent_s = 0.0
            yield ": keep-alive\n\n"
        await asyncio.sleep(STREAM_S)
