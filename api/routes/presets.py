"""GET /presets and GET /presets/{folder}/{name}: experiments to start from.

A spec refers to a preset by name: `{"preset": "paper/table-2"}`.
"""

from typing import Any

from fastapi import APIRouter

from api.problems import ApiProblem
from orchestrator import presets

router = APIRouter(tags=["catalogue"])


@router.get("/presets")
def list_presets() -> dict[str, Any]:
    """Lists the presets: name, version and a sentence about each."""
    return {"items": [preset.summary() for preset in presets.known().values()]}


@router.get("/presets/{folder}/{name}")
def preset(folder: str, name: str) -> dict[str, Any]:
    """Returns one preset with its spec, which can be edited and posted."""
    found = presets.known().get(f"{folder}/{name}")
    if found is None:
        detail = f"preset '{folder}/{name}' does not exist; GET /presets lists the existing ones"
        raise ApiProblem(404, "NOT_FOUND", "Not found", detail)
    return found.as_json()
