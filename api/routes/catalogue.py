"""GET /methods, /evaluators, /models and /datasets: what a spec may name on this installation."""

from typing import Any

from fastapi import APIRouter

from api.deps import ServiceDep
from orchestrator import catalogue
from orchestrator.catalogue import known_datasets
from trainer.core.data.paper import cache_root

router = APIRouter(tags=["catalogue"])


@router.get("/methods")
def methods(service: ServiceDep) -> dict[str, Any]:
    """Lists the built-in methods and those of installed packages, with the JSON schema of their settings.

    A method that is not `checked` has a `problem`, and a spec that names it is refused.
    """
    return {"items": [entry.as_json() for entry in catalogue.known_methods(service.home)]}


@router.get("/evaluators")
def evaluators() -> dict[str, Any]:
    """Lists the built-in evaluators and those of installed packages, with the JSON schema of their settings."""
    return {"items": [entry.as_json() for entry in catalogue.known_evaluators()]}


@router.get("/datasets")
def datasets() -> dict[str, Any]:
    """Lists the known data sets and what is prepared here; `relearn data prepare` prepares one."""
    return {"items": known_datasets(cache_root())}


@router.get("/models")
def models() -> dict[str, Any]:
    """Lists the networks, with the JSON schema of their settings."""
    return {"items": [entry.as_json() for entry in catalogue.known_models()]}
