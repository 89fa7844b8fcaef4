"""POST /gc: what nobody needs any more, and its removal."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from api.deps import TheStore
from api.problems import ApiProblem, not_found
from orchestrator.checkpoints.gc import Artifacts, Scope, clean, survey
from orchestrator.settings import Settings

router = APIRouter(tags=["service"])


class Cleaning(BaseModel):
    """What a clean-up may remove."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    delete: bool = Field(False, description="remove it; else only say what would go")
    grace_days: float = Field(7, ge=0, le=36_500, description="what is younger stays")
    experiment: str | None = Field(None, max_length=64, description="only what this experiment shows")


def service_of(request: Request) -> Settings:
    service: Settings = request.app.state.service
    return service


def artifacts_of(request: Request) -> Artifacts:
    from orchestrator.tracking.mlflow import Tracker  # mlflow: two seconds that the API's start need not wait for

    return Tracker(service_of(request).tracking_uri)


@router.post("/gc")
def gc(
    asked: Cleaning,
    store: TheStore,
    artifacts: Annotated[Artifacts, Depends(artifacts_of)],
    service: Annotated[Settings, Depends(service_of)],
) -> dict[str, Any]:
    """Checkpoints that no result, fork, longer or unfinished experiment needs, and what ended experiments left on disk.

    Says what would go, and removes it where `delete` is true. A generation whose checkpoint went is trained again when a
    later experiment needs it.
    """
    from orchestrator.tracking.mlflow import OUTAGE  # likewise

    if asked.experiment is not None and store.experiment(asked.experiment) is None:
        raise not_found(f"experiment {asked.experiment!r}")
    scope = Scope(time.time(), asked.grace_days * 86_400, asked.experiment)
    try:
        return (clean if asked.delete else survey)(store, service.storage, artifacts, scope).as_json()
    except OUTAGE as error:
        detail = f"{error}; ask again, what is marked already is found then"
        raise ApiProblem(
            503, "CLEANING_INTERRUPTED", "The tracking server or the storage does not answer", detail
        ) from error
