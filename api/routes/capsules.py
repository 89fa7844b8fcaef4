"""GET /experiments/{id}/capsule and /verdict: an experiment as one document, and how one that was posted came out again."""

import time
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import TheExperiment, TheStore
from api.problems import ApiProblem
from orchestrator.results.capsule import capsule_of, opened
from orchestrator.results.verdict import verdict

router = APIRouter(tags=["capsules"])


@router.get("/experiments/{experiment_id}/capsule")
def capsule(experiment: TheExperiment, store: TheStore) -> JSONResponse:
    """The resolved spec, versions, and per node its key, weights, machine, data, episodes and scores, with a digest of it all.

    Post it to /experiments, here or elsewhere, to do the experiment again.
    """
    name = f'attachment; filename="{experiment["name"]}.capsule.json"'
    return JSONResponse(
        capsule_of(store, experiment, time.time()).model_dump(mode="json"), headers={"Content-Disposition": name}
    )


@router.get("/experiments/{experiment_id}/verdict")
def compared(experiment: TheExperiment, store: TheStore) -> dict[str, Any]:
    """Of an experiment that was posted as a capsule: `same`, `same within noise`, `differs at node X` or `not finished`.

    Says how many nodes were made anew: one that was found, because the same work was done here before, proves nothing.
    """
    posted = store.capsule_of(experiment["id"])
    if posted is None:
        detail = f"experiment {experiment['id']} was posted as a spec: post a capsule to compare with"
        raise ApiProblem(404, "NO_CAPSULE", "Not posted as a capsule", detail)
    return verdict(opened(posted), capsule_of(store, experiment, time.time()))
