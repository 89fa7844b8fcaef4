"""GET /presets and /presets/{folder}/{name}: experiments to start from; a spec names one as `{"preset": "paper/table-2"}`."""

from typing import Any

from fastapi import APIRouter

from api.problems import ApiProblem
from orchestrator import presets

router = APIRouter(tags=["catalogue"])


@router.get("/presets")
def list_presets() -> dict[str, Any]:
    """Name, version and a sentence of each."""
    return {"items": [preset.summary() for preset in presets.known().values()]}


@router.get("/presets/{folder}/{name}")
def preset(folder: str, name: str) -> dict[str, Any]:
    """One of them, with its spec as it may be edited and posted."""
    found = presets.known().get(f"{folder}/{name}")
    if found is None:
        detail = f"preset '{folder}/{name}' does not exist; GET /presets lists those that do"
        raise ApiProblem(404, "NOT_FOUND", "Not found", detail)
    return found.as_json()
