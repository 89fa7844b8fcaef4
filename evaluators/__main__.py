"""Judges one checkpoint with one evaluator and prints the record as a JSON object.

    python -m evaluators few-shot --checkpoint model.pt --model resnet-digits --data digits-edges \
        --set shots=[1,5] --set episodes=100
"""

import argparse
import json
import pickle
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

import evaluators
from evaluators.bank import Bank
from evaluators.base import Context, Evaluator, TransferEvaluator
from evaluators.judge import judge
from evaluators.prediction_depth import SOFTMAX, PredictionDepth
from evaluators.progress import Bar, silent
from trainer.core import checkpoint, data
from trainer.core.data import AnyData, DataSpec
from trainer.core.models import AnyModel, ModelSpec, skeleton

NESTS = ("model", "state_dict", "net")
"""Where a file keeps its state_dict, if it is not one itself."""
SHOWN = 3
"""Names that a message lists before it counts the rest."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 with a message on stderr where the user must change something."""
    options = _parser().parse_args(arguments)
    try:
        with closing(Bar(sys.stderr)) as bar:
            record = _judge(options, bar)
        text = json.dumps(record, allow_nan=False)
        if options.out is None:
            print(text)
        else:
            options.out.write_text(text + "\n")
    except (ValueError, OSError, ImportError) as error:
        print(f"evaluators: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluators", description="Judge one checkpoint with one evaluator.")
    parser.add_argument("evaluator", choices=evaluators.names())
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        help=f"a file of torch.save with a state_dict, bare or under one of {', '.join(NESTS)}; or a checkpoint folder of ours",
    )
    parser.add_argument("--model", required=True, help="the architecture: a model's name, or its spec as a JSON object")
    parser.add_argument("--classes", type=int, help="outputs of the model (default: what its fc.weight tells)")
    parser.add_argument("--data", help="the data to judge on: a name or a JSON object (default: --source)")
    parser.add_argument(
        "--source", help="the data it was trained on, needed where an evaluator judges on that (default: --data)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="a setting of the evaluator")
    parser.add_argument("--strip-prefix", default="", metavar="PREFIX", help="cut from the state_dict's names, such as module.")
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a prefix of the names that are left, and what the model has in its place; the first that fits counts",
    )
    parser.add_argument("--device", default="cpu", help="where to run: cpu, cuda, cuda:1")
    parser.add_argument("--features", type=Path, metavar="DIR", help="keep layer outputs here for other evaluators (20 GiB)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the record goes (default: stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _judge(options: argparse.Namespace, bar: Bar) -> dict[str, Any]:
    kind: type[Evaluator] = evaluators.EVALUATORS[options.evaluator]
    transfers = issubclass(kind, TransferEvaluator)
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise ValueError(f"--out {options.out}: there is no folder {options.out.parent}, make it first")
    if options.data is None and (transfers or options.source is None):
        raise ValueError(f"{options.evaluator} needs data to judge on: name it with --data")
    model_spec: AnyModel = _named(ModelSpec, options.model, "--model")
    target = _data(options.data, "--data") if options.data else _data(options.source, "--source")
    source = _data(options.source, "--source") if options.source else target
    if not transfers and source != target:
        raise ValueError(f"{options.evaluator} judges on the data the network was trained on: leave --data out")

    settings = _settings(options.set) | ({"targets": [target.text()]} if transfers else {})
    evaluator: Evaluator = _valid(kind, {"name": options.evaluator} | settings, "--set")
    if isinstance(evaluator, PredictionDepth) and evaluator.layers is None:
        evaluator = evaluator.model_copy(update={"layers": (*model_spec.stage_points(), SOFTMAX)})
    if problems := [f"{field}: {message}" for field, message in evaluator.problems(target)]:
        raise ValueError("; ".join(problems))

    state = _renamed(_state(options.checkpoint), options.strip_prefix, options.rename)
    classes = _classes(options.classes, state)
    if (options.source or not transfers) and (has := len(source.class_names())) != classes:
        raise ValueError(f"the network has {classes} outputs but {source.text()!r} has {has} classes: name the data it learned")
    model = skeleton(model_spec, classes)
    state = _fitting(state, dict(model.state_dict()), f"--checkpoint {options.checkpoint}", model_spec.name)
    model.to_empty(device="cpu").load_state_dict(state)
    context = Context(Bank(options.features), silent if options.quiet else bar)
    record = judge(evaluator, model.to(_device(options.device)).eval(), source, target, context)
    if transfers and options.source is None:
        record["details"]["source"] = None  # nobody said what the network was trained on
    judged = {"model": model_spec.model_dump(mode="json"), "classes": classes}
    return judged | {"weights_sha256": checkpoint.weights_digest(state)} | record


# --- what was asked for ---


def _settings(texts: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for text in texts:
        field, separator, value = text.partition("=")
        if not separator:
            raise ValueError(f"--set {text!r} has no value: write field=value")
        try:
            settings[field] = json.loads(value)
        except json.JSONDecodeError:
            settings[field] = value  # an unquoted word
    return settings


def _data(text: str, option: str) -> AnyData:
    """A data set from the name of a target or its JSON object, with nothing left open."""
    spec: AnyData
    if text.startswith("{"):
        spec = _named(DataSpec, text, option)
    else:
        try:
            spec = data.named(text)
        except ValueError as error:
            raise ValueError(f"{option} {text}: not a data set; known are {', '.join(data.names())}") from error
    if missing := spec.problem():
        raise ValueError(f"{option} {text}: {missing}")
    return spec.resolved()


def _named(spec: Any, text: str, option: str) -> Any:
    """A spec of the union `spec`, from its name or its JSON object."""
    try:
        fields = json.loads(text) if text.startswith("{") else {"name": text}
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} {text} is not JSON: {error}") from error
    return _valid(spec, fields, option)


def _valid(spec: Any, fields: dict[str, Any], option: str) -> Any:
    try:
        return TypeAdapter(spec).validate_json(json.dumps(fields))
    except ValidationError as error:
        wrong = ("/".join(map(str, e["loc"])) + ": " + e["msg"] for e in error.errors())
        raise ValueError(f"{option}: {'; '.join(wrong)}") from error


def _device(text: str) -> torch.device:
    try:
        return torch.empty(0, device=text).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {text} is not a device of this machine: {error}") from error


def _classes(told: int | None, state: dict[str, Tensor]) -> int:
    weight = state.get("fc.weight")
    if told is not None:
        return told
    if weight is None or weight.ndim != 2:
        raise ValueError(
            "the checkpoint has no fc.weight that tells how many outputs there are: give --classes, or --rename it"
        )
    return len(weight)


# --- the checkpoint ---


def _state(path: Path) -> dict[str, Tensor]:
    """The weights and buffers in a file of torch.save, or in a verified checkpoint folder."""
    if path.is_dir():
        checkpoint.read_manifest(path)
    file = path / checkpoint.STATE if path.is_dir() else path
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        why = str(error).split("\n")[0]
        raise ValueError(
            f"--checkpoint {path} is not a file of tensors: save model.state_dict() by torch.save ({why})"
        ) from error
    nests = [stored, *(stored[nest] for nest in NESTS if nest in stored)] if isinstance(stored, dict) else []
    for nest in nests:
        if isinstance(nest, dict) and nest and all(isinstance(value, Tensor) for value in nest.values()):
            return nest
    raise ValueError(f"--checkpoint {path} holds no state_dict, neither itself nor under one of {', '.join(NESTS)}")


def _renamed(state: dict[str, Tensor], prefix: str, renames: list[str]) -> dict[str, Tensor]:
    pairs = []
    for text in renames:
        old, separator, new = text.partition("=")
        if not separator or not old:
            raise ValueError(f"--rename {text!r} is not of the form OLD=NEW")
        pairs.append((old, new))
    renamed: dict[str, Tensor] = {}
    for given, tensor in state.items():
        name = given.removeprefix(prefix)
        old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
        name = new + name.removeprefix(old)
        if name in renamed:
            raise ValueError(f"--strip-prefix and --rename give two tensors the name {name!r}: rename fewer")
        renamed[name] = tensor
    return renamed


def _fitting(state: dict[str, Tensor], wanted: dict[str, Tensor], which: str, model: str) -> dict[str, Tensor]:
    """`state` with the counters of BatchNorm that older files lack. Raises ValueError where it is of another network."""
    counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name.endswith(".num_batches_tracked")}
    state = counters | state
    missing, unexpected = [name for name in wanted if name not in state], [name for name in state if name not in wanted]
    if missing or unexpected:
        prefixes = (found.removesuffix(missing[0]) for found in unexpected if missing and found.endswith(f".{missing[0]}"))
        prefix = next((each for each in prefixes if all(each + name in state for name in missing)), None)
        remedy = f"--strip-prefix {prefix}" if prefix else "--strip-prefix or --rename OLD=NEW"
        told = [f"{what} {_few(names)}" for what, names in (("missing", missing), ("unexpected", unexpected)) if names]
        raise ValueError(f"{which} does not fit {model}: {'; '.join(told)}: map the names by {remedy}, or name its own --model")
    if other := [name for name in wanted if state[name].shape != wanted[name].shape]:
        shapes = f"{list(state[other[0]].shape)} where the model has {list(wanted[other[0]].shape)}"
        raise ValueError(f"{which} does not fit {model}: {_few(other)} ({shapes}): look at --model and --classes")
    return state


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


if __name__ == "__main__":
    sys.exit(main())
