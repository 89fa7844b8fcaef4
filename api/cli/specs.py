"""The argument SPEC|PRESET of several commands: a JSON file, or the name of a preset."""

import re
from pathlib import Path
from typing import Any

from api import body
from api.client import Refused
from api.problems import ApiProblem

_PRESET = re.compile(r"[a-z0-9._-]+/[a-z0-9._-]+(@\d+)?")


def read(given: str) -> dict[str, Any]:
    """Returns the spec in the file `given`, or a spec that names the preset `given`.

    Raises Refused if the file cannot be read.
    """
    path = Path(given)
    if _PRESET.fullmatch(given) and path.suffix != ".json" and not path.exists():
        return {"preset": given}
    try:
        spec: dict[str, Any] = body.parse(path.read_bytes())
    except (OSError, ApiProblem) as error:
        raise Refused({"title": f"{given} cannot be read", "detail": str(error)}) from error
    return spec
