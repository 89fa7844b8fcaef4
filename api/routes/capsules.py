"""GET /experiments/{id}/capsule and GET /experiments/{id}/verdict.

A capsule is an experiment as one document; a verdict compares an experiment with the capsule it was posted as.
"""

import time
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.deps import ExperimentDep, StoreDep
from api.problems import ApiProblem
from orchestrator.results.capsule import capsule_of, opened
from orchestrator.results.verdict import verdict

router = APIRouter(tags=["capsules"])


@router.get("/experiments/{experiment_id}/capsule")
def capsule(experiment: ExperimentDep, store: StoreDep) -> JSONResponse:
    """Returns the experiment as one document, which can be posted to /experiments here or elsewhere to run it again.

    It has the resolved spec, the versions, the key, weights, machine, data, episodes and scores of every node, and a
    digest of all of this.
    """
    name = f'attachment; filename="{experiment.name}.capsule.json"'
    return JSONResponse(
        capsule_of(store, experiment, time.time()).model_dump(mode="json"), headers={"Content-Disposition": name}
    )


@router.get("/experiments/{experiment_id}/verdict")
def compared(experiment: ExperimentDep, store: StoreDep) -> dict[str, Any]:
    """Compares an experiment with the capsule it was posted as.

    The verdict is `same`, `same within noise`, `differs at node X` or `not finished`. The answer also counts the nodes
    that were computed anew: a node that was found, because the same work was done here before, proves nothing.
    """
    posted = store.capsule_of(experiment.id)
    if posted is None:
        detail = f"experiment {experiment.id} was posted as a spec: only one that was posted as a capsule has a verdict"
        raise ApiProblem(404, "NO_CAPSULE", "Not posted as a capsule", detail)
    return verdict(opened(posted), capsule_of(store, experiment, time.time()))
