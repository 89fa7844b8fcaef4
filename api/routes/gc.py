"""POST /gc: reports or removes checkpoints and folders that are no longer needed."""

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import ArtifactsDep, ServiceDep, StoreDep
from api.problems import ApiProblem, not_found
from orchestrator.checkpoints.gc import Scope, collect_garbage, survey

router = APIRouter(tags=["service"])


class GcRequest(BaseModel):
    """What may be removed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    delete: bool = Field(False, description="remove it; otherwise only report what would be removed")
    grace_days: float = Field(7, ge=0, le=36_500, description="keep everything younger than this many days")
    experiment: str | None = Field(None, max_length=64, description="consider only the nodes of this experiment")


@router.post("/gc")
def gc(asked: GcRequest, store: StoreDep, artifacts: ArtifactsDep, service: ServiceDep) -> dict[str, Any]:
    """Reports the checkpoints and folders that are no longer needed, and removes them if `delete` is true.

    A checkpoint is needed by results, forks, longer runs of the same arm, and unfinished experiments; the folders are
    what ended experiments left on disk. A generation whose checkpoint is removed is trained again when a later
    experiment needs it.
    """
    from orchestrator.tracking.mlflow import OUTAGE  # mlflow takes two seconds to import: not at the API's start

    if asked.experiment is not None and store.experiment(asked.experiment) is None:
        raise not_found(f"experiment {asked.experiment!r}")
    scope = Scope(time.time(), asked.grace_days * 86_400, asked.experiment)
    try:
        return (collect_garbage if asked.delete else survey)(store, service.storage, artifacts, scope).as_json()
    except OUTAGE as error:
        raise ApiProblem(
            503,
            "CLEANING_INTERRUPTED",
            "The tracking server or the storage does not answer",
            f"{error}; send the request again: it finds what is already marked for removal",
        ) from error
