"""What an arm says of work that is there already becomes its content: keys of generations, and digests of files."""

import hashlib
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.intake.salvage import read_part
from orchestrator.problems import Problem, nearest
from orchestrator.states import NodeState
from orchestrator.store import Store
from trainer.core import checkpoint, data, models

_PARTS: dict[str, TypeAdapter[Any]] = {"data": TypeAdapter(data.DataSpec), "model": TypeAdapter(models.ModelSpec)}


def resolve(raw: dict[str, Any], store: Store) -> tuple[dict[str, Any], list[Problem]]:
    """`raw` with every reference to earlier work filled in, and what could not be found."""
    arms = raw.get("arms")
    if not isinstance(arms, list):
        return raw, []
    problems: list[Problem] = []
    filled = []
    for index, arm in enumerate(arms):
        if isinstance(arm, dict):
            seeds = [seed for seed in _seeds(raw) if type(seed) is int]
            for name in ("fork", "checkpoint"):
                part = arm.get(name)
                pointer = f"/arms/{index}/{name}"
                if isinstance(part, dict) and isinstance(part.get("experiment"), str):
                    arm, found = _generation(arm, name, pointer, seeds, store, raw)
                    problems += found
                elif (
                    name == "checkpoint"
                    and isinstance(part, dict)
                    and isinstance(part.get("uri"), str)
                    and not is_address(part["uri"])
                ):
                    arm, found = _file(arm, pointer)
                    problems += found
        filled.append(arm)
    return raw | {"arms": filled}, problems


def _seeds(raw: dict[str, Any]) -> list[Any]:
    seeds = raw.get("seeds", [0])
    return seeds[:100] if isinstance(seeds, list) else []


def _generation(
    arm: dict[str, Any], name: str, pointer: str, seeds: list[int], store: Store, raw: dict[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """`arm` with the keys of an earlier experiment's generation; a checkpoint is of that experiment's data and model."""
    part: dict[str, Any] = arm[name]
    experiment = store.experiment(part["experiment"])
    if experiment is None:
        return arm, [
            Problem(f"{pointer}/experiment", "UNKNOWN_VALUE", f"there is no experiment {part['experiment']!r} here")
        ]
    there = {each["name"]: each for each in experiment.spec["arms"]}
    if not isinstance(part.get("arm"), str) or part["arm"] not in there:
        message = f"{part['experiment']} has no arm {part.get('arm')!r}"
        return arm, [Problem(f"{pointer}/arm", "UNKNOWN_VALUE", message, nearest(str(part.get("arm")), list(there)))]
    if name == "fork" and "uri" in (there[part["arm"]].get("checkpoint") or {}):
        message = f"{part['arm']!r} of {experiment.id} are weights from a file, which are judged and not trained on"
        return arm, [Problem(f"{pointer}/arm", "CONTRADICTION", message)]
    if part.get("generation") is not None and type(part["generation"]) is not int:
        return arm, []  # told by the check of the spec
    uses = [use for use in store.uses_of(experiment.id) if use.arm == part["arm"] and use.kind != "evaluation"]
    last = max((use.generation for use in uses), default=0)
    generation = last if part.get("generation") is None else part["generation"]
    keys, problems = {}, []
    for seed in seeds:
        use = next((use for use in uses if (use.seed, use.generation) == (seed, generation)), None)
        if use is None:
            message = f"{part['arm']!r} of {experiment.id} has no generation {generation} with seed {seed}"
            known = sorted({each.seed for each in uses})
            problems.append(
                Problem(pointer, "UNKNOWN_VALUE", f"{message}: it has generations 0 to {last} with seeds {known}")
            )
        elif use.state != NodeState.SUCCEEDED or not store.has_checkpoint(use.key):
            message = f"generation {generation} of {part['arm']!r}, seed {seed}, of {experiment.id} has no checkpoint"
            message += f" (it is {use.state.lower()}): post its arm in this experiment, and refer to it there"
            problems.append(Problem(pointer, "CONTRADICTION", message))
        else:
            keys[str(seed)] = use.key
    theirs = {each: there[part["arm"]].get(each) or experiment.spec[each] for each in ("data", "model")}
    filled = arm | {name: part | {"generation": generation, "keys": keys}}
    if name == "fork":
        mine = arm.get("model") or raw.get("model") or {"name": "resnet-digits"}
        if _differs("model", mine, theirs["model"]):
            message = f"the generation is of another network: give the arm the model {theirs['model']}"
            problems.append(Problem(pointer, "CONTRADICTION", message))
        return filled, problems
    for each, value in theirs.items():
        if arm.get(each) is not None and _differs(each, arm[each], value):
            message = f"it was trained with other {each}: leave it out, or give {value}"
            problems.append(Problem(f"{pointer.removesuffix(name)}{each}", "CONTRADICTION", message))
    return filled | theirs, problems


def _differs(part: str, mine: Any, theirs: Any) -> bool:
    """Whether an arm's data or model is another than the earlier experiment's; what cannot be read is reported elsewhere."""
    one, other = (read_part(_PARTS[part], each).whole for each in (mine, theirs))
    if one is None or other is None:
        return False
    if part == "data" and not one.problem():
        one = one.resolved()  # theirs has its digest
    return bool(one != other)


def _file(arm: dict[str, Any], pointer: str) -> tuple[dict[str, Any], list[Problem]]:
    """`arm` with the digest of its file of weights, which must be what was asked for if a digest was."""
    part: dict[str, Any] = arm["checkpoint"]
    path = Path(part["uri"]).absolute()
    try:
        found = digest_of(path)
    except (OSError, checkpoint.BadCheckpoint) as error:
        message = f"{path} cannot be read: {error}; name a file or a checkpoint's folder that every node sees"
        return arm, [Problem(f"{pointer}/uri", "UNKNOWN_VALUE", message)]
    if part.get("sha256") not in (None, found):
        message = f"{path} has sha256 {found}: it is not the file that was meant"
        return arm, [Problem(f"{pointer}/sha256", "CONTRADICTION", message)]
    return arm | {"checkpoint": part | {"uri": str(path), "sha256": found}}, []


def is_address(uri: str) -> bool:
    """Whether `uri` is for MLflow to download, such as mlflow-artifacts:/1/net.pt, and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", uri) is not None


def digest_of(path: Path) -> str:
    """sha256 of a file, or of the weights in a folder of ours. Raises OSError or BadCheckpoint."""
    if path.is_dir():
        return checkpoint.read_manifest(path).weights_sha256
    if not path.is_file():  # a pipe would be read for ever
        raise FileNotFoundError("it is no file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
