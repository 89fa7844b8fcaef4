"""Resolves references to earlier work: generations become content keys, and files of weights become digests."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.intake.salvage import read_part
from orchestrator.problems import Problem, nearest
from orchestrator.states import NodeState
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from trainer.core import checkpoint, data, models

_PARTS: dict[str, TypeAdapter[Any]] = {"data": TypeAdapter(data.DataSpec), "model": TypeAdapter(models.ModelSpec)}


def resolve(raw: dict[str, Any], store: Store) -> tuple[dict[str, Any], list[Problem]]:
    """Returns `raw` with every reference to earlier work resolved, and a problem for each that cannot be resolved."""
    arms = raw.get("arms")
    if not isinstance(arms, list):
        return raw, []
    problems: list[Problem] = []
    resolved = []
    for index, arm in enumerate(arms):
        for name in ("fork", "checkpoint") if isinstance(arm, dict) else ():
            arm, found = _resolved(arm, name, f"/arms/{index}/{name}", store, raw)
            problems += found
        resolved.append(arm)
    return raw | {"arms": resolved}, problems


def _resolved(
    arm: dict[str, Any], name: str, pointer: str, store: Store, raw: dict[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Returns `arm` with its part `name` resolved, if that refers to an earlier experiment or to a local file."""
    part = arm.get(name)
    if not isinstance(part, dict):
        return arm, []
    if isinstance(part.get("experiment"), str):
        return _with_keys(arm, name, pointer, store, raw)
    if name == "checkpoint" and isinstance(uri := part.get("uri"), str) and not is_address(uri):
        return _with_digest(arm, pointer)
    return arm, []


def _with_keys(
    arm: dict[str, Any], name: str, pointer: str, store: Store, raw: dict[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Returns `arm` with the content keys of a generation of an earlier experiment.

    An arm with a checkpoint also gets the data and model of that experiment.
    """
    part: dict[str, Any] = arm[name]
    experiment = store.experiment(part["experiment"])
    if experiment is None:
        message = f"there is no experiment {part['experiment']!r} in this installation"
        return arm, [Problem(f"{pointer}/experiment", "UNKNOWN_VALUE", message)]
    if problem := _source_problem(part, name, pointer, experiment):
        return arm, [problem]
    if part.get("generation") is not None and type(part["generation"]) is not int:
        return arm, []  # reported by `check`
    generation, keys, problems = _keys(part, pointer, _seeds(raw), store, experiment)
    source = next(each for each in experiment.spec["arms"] if each["name"] == part["arm"])
    trained = {each: source.get(each) or experiment.spec[each] for each in ("data", "model")}
    filled = arm | {name: part | {"generation": generation, "keys": keys}}
    if name == "fork":
        mine = arm.get("model") or raw.get("model") or {"name": "resnet-digits"}
        return filled, [*problems, *_fork_problems(pointer, mine, trained["model"])]
    return filled | trained, [*problems, *_checkpoint_problems(pointer, arm, trained)]


def _source_problem(part: dict[str, Any], name: str, pointer: str, experiment: Experiment) -> Problem | None:
    """Returns a problem if the earlier experiment does not have the arm, or a fork cannot continue from the arm."""
    arms = {each["name"]: each for each in experiment.spec["arms"]}
    arm = part.get("arm")
    if not isinstance(arm, str) or arm not in arms:
        message = f"{part['experiment']} has no arm {arm!r}"
        return Problem(f"{pointer}/arm", "UNKNOWN_VALUE", message, nearest(str(arm), list(arms)))
    if name == "fork" and "uri" in (arms[arm].get("checkpoint") or {}):
        message = f"{arm!r} of {experiment.id} is a file of weights, which is only evaluated"
        return Problem(f"{pointer}/arm", "CONTRADICTION", f"{message}: fork from an arm with a method")
    return None


def _keys(
    part: dict[str, Any], pointer: str, seeds: list[int], store: Store, experiment: Experiment
) -> tuple[int, dict[str, str], list[Problem]]:
    """Returns the generation, its content keys by seed, and a problem for each seed without a stored checkpoint.

    The generation is the last one of the arm if the reference does not give one.
    """
    arm = part["arm"]
    uses = [use for use in store.uses_of(experiment.id) if use.arm == arm and use.kind != "evaluation"]
    last = max((use.generation for use in uses), default=0)
    generation = last if part.get("generation") is None else part["generation"]
    keys, problems = {}, []
    for seed in seeds:
        use = next((use for use in uses if (use.seed, use.generation) == (seed, generation)), None)
        if use is None:
            known = sorted({each.seed for each in uses})
            message = f"{arm!r} of {experiment.id} has no generation {generation} with seed {seed}"
            message += f": it has generations 0 to {last} with seeds {known}"
            problems.append(Problem(pointer, "UNKNOWN_VALUE", message))
        elif use.state != NodeState.SUCCEEDED or not store.has_checkpoint(use.key):
            message = f"generation {generation} of {arm!r}, seed {seed}, of {experiment.id} has no checkpoint"
            message += f" (it is {use.state.lower()}): post its arm in this experiment, and refer to it there"
            problems.append(Problem(pointer, "CONTRADICTION", message))
        else:
            keys[str(seed)] = use.key
    return generation, keys, problems


def _seeds(raw: dict[str, Any]) -> list[int]:
    """Returns the valid seeds of the spec, at most 100."""
    seeds = raw.get("seeds", [0])
    return [seed for seed in seeds[:100] if type(seed) is int] if isinstance(seeds, list) else []


def _fork_problems(pointer: str, mine: Any, trained: Any) -> Iterator[Problem]:
    """Yields a problem if the arm's model `mine` is not the model with which the generation was trained."""
    if _differs("model", mine, trained):
        message = f"the generation was trained with another network: give the arm the model {trained}"
        yield Problem(pointer, "CONTRADICTION", message)


def _checkpoint_problems(pointer: str, arm: dict[str, Any], trained: dict[str, Any]) -> Iterator[Problem]:
    """Yields the arm's own data and model, if they are not the ones with which the checkpoint was trained."""
    for name, value in trained.items():
        if arm.get(name) is not None and _differs(name, arm[name], value):
            message = f"the checkpoint was trained with other {name}: leave {name} out, or give {value}"
            yield Problem(f"{pointer.removesuffix('checkpoint')}{name}", "CONTRADICTION", message)


def _differs(part: str, mine: Any, trained: Any) -> bool:
    """Returns whether an arm's data or model differs from the earlier experiment's. Invalid ones are not compared."""
    one, other = (read_part(_PARTS[part], each).whole for each in (mine, trained))
    if one is None or other is None:
        return False
    if part == "data" and not one.problem():
        one = one.resolved()  # `trained` is resolved already
    return bool(one != other)


def _with_digest(arm: dict[str, Any], pointer: str) -> tuple[dict[str, Any], list[Problem]]:
    """Returns `arm` with the digest of its file of weights, which must be equal to the digest in the spec, if any."""
    part: dict[str, Any] = arm["checkpoint"]
    path = Path(part["uri"]).absolute()
    try:
        found = digest_of(path)
    except (OSError, checkpoint.BadCheckpoint) as error:
        message = f"{path} cannot be read: {error}"
        message += "; give a file, or the folder of a checkpoint, that every node of the cluster can read"
        return arm, [Problem(f"{pointer}/uri", "UNKNOWN_VALUE", message)]
    if part.get("sha256") not in (None, found):
        message = f"{path} has sha256 {found}, which is not the given one: name another file, or correct sha256"
        return arm, [Problem(f"{pointer}/sha256", "CONTRADICTION", message)]
    return arm | {"checkpoint": part | {"uri": str(path), "sha256": found}}, []


def is_address(uri: str) -> bool:
    """Returns whether `uri` is an address for MLflow, such as mlflow-artifacts:/1/net.pt, and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", uri) is not None


def digest_of(path: Path) -> str:
    """Returns the sha256 of a file, or of the weights of a checkpoint folder. Raises OSError or BadCheckpoint."""
    if path.is_dir():
        return checkpoint.read_manifest(path).weights_sha256
    if not path.is_file():  # reading a pipe or device might never end
        raise FileNotFoundError("it is not a file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
