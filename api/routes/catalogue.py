"""GET /methods, /evaluators and /models: what a spec may name here, each with the JSON schema of its settings."""

from typing import Any

from fastapi import APIRouter, Request

from orchestrator import catalogue
from orchestrator.catalogue import known_datasets
from trainer.core.data.paper import cache_root

router = APIRouter(tags=["catalogue"])


@router.get("/methods")
def methods(request: Request) -> dict[str, Any]:
    """Ours and those of installed packages; one that is not `checked` has a `problem`, and experiments with it are refused."""
    return {"items": [entry.as_json() for entry in catalogue.known_methods(request.app.state.home)]}


@router.get("/evaluators")
def evaluators() -> dict[str, Any]:
    """Ours and those of installed packages."""
    return {"items": [entry.as_json() for entry in catalogue.known_evaluators()]}


@router.get("/datasets")
def datasets() -> dict[str, Any]:
    """What is known of each data set, and what is prepared here; `relearn data prepare` makes one ready."""
    return {"items": known_datasets(cache_root())}


@router.get("/models")
def models() -> dict[str, Any]:
    """The networks."""
    return {"items": [entry.as_json() for entry in catalogue.known_models()]}
