"""Judges one checkpoint file with one evaluator and prints the result as a JSON object.

    python -m evaluators few-shot --checkpoint model.pt --model resnet-digits --classes 10 --source digits \
        --target digits-edges --set shots=[1,5] --set episodes=100
"""

import argparse
import json
import pickle
import sys
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from evaluators import AnyEvaluator, TransferEvaluator, names
from evaluators.prediction_depth import SOFTMAX, PredictionDepth
from trainer.core import data
from trainer.core.data import AnyData, DataSpec
from trainer.core.models import AnyModel, ModelSpec, skeleton


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 with a message on stderr where the user must change something."""
    options = _parser().parse_args(arguments)
    try:
        print(json.dumps(_judge(options), allow_nan=False))
    except (ValueError, OSError) as error:
        print(f"evaluators: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluators", description="Judge one checkpoint.")
    parser.add_argument("evaluator", choices=names())
    parser.add_argument("--checkpoint", type=Path, required=True, help='a state_dict, or {"model": state_dict}')
    parser.add_argument("--model", required=True, help="a model's name, or its spec as a JSON object")
    parser.add_argument("--classes", type=int, required=True, help="outputs of the model")
    parser.add_argument("--source", required=True, help="the data it was trained on: a name or a JSON object")
    parser.add_argument("--target", help="the data to transfer to, for the evaluators that do")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="a setting of the evaluator")
    parser.add_argument("--strip-prefix", default="", help="cut from the state_dict's names, such as module.")
    parser.add_argument("--device", default="cpu", help="where to run: cpu, cuda, cuda:1")
    return parser


def _judge(options: argparse.Namespace) -> dict[str, Any]:
    kind = {kind.model_fields["name"].default: kind for kind in get_args(AnyEvaluator)}[options.evaluator]
    transfers = issubclass(kind, TransferEvaluator)
    if transfers and not options.target:
        raise ValueError(f"{options.evaluator} judges on other data: name it with --target")
    if options.target and not transfers:
        raise ValueError(f"{options.evaluator} judges on the source's own test images: leave --target out")
    model_spec: AnyModel = _named(ModelSpec, options.model, "--model")
    source_spec, target_spec = _data(options.source, "--source"), _data(options.target or options.source, "--target")
    if not transfers and (has := len(source_spec.class_names())) != options.classes:
        raise ValueError(f"--classes is {options.classes} but {source_spec.name!r} has {has} classes")

    settings = _settings(options.set) | ({"targets": [target_spec.text()]} if transfers else {})
    evaluator: AnyEvaluator = _valid(kind, {"name": options.evaluator} | settings, "--set")
    if isinstance(evaluator, PredictionDepth) and evaluator.layers is None:
        evaluator = evaluator.model_copy(update={"layers": (*model_spec.stage_points(), SOFTMAX)})
    if problems := [f"{field}: {message}" for field, message in evaluator.problems(target_spec)]:
        raise ValueError("; ".join(problems))

    model = skeleton(model_spec, options.classes).to_empty(device="cpu")
    _load(model, options.checkpoint, options.strip_prefix)
    source, target = source_spec.load(), target_spec.load()
    device = _device(options.device)
    result = evaluator.run(model.to(device).eval(), source.to(device), target.to(device))
    judged = {"evaluator": evaluator, "model": model_spec, "source": source_spec, "target": target_spec}
    return {name: spec.model_dump(mode="json") for name, spec in judged.items()} | result.model_dump(mode="json")


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
    """A data set from the name of a target or its JSON object, ready to load."""
    try:
        spec: AnyData = _named(DataSpec, text, option) if text.startswith("{") else data.named(text)
    except ValueError as error:
        raise ValueError(f"{option} {text}: not a data set; known are {', '.join(data.names())}") from error
    if missing := spec.problem():
        raise ValueError(f"{option} {text}: {missing}")
    return spec


def _named(spec: Any, text: str, option: str) -> Any:
    """A spec of the union `spec`, from its name or its JSON object."""
    return _valid(spec, json.loads(text) if text.startswith("{") else {"name": text}, option)


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


def _load(model: nn.Module, path: Path, prefix: str) -> None:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(f"--checkpoint {path} is not a file of tensors written by torch.save: {error}") from error
    state = stored.get("model", stored) if isinstance(stored, dict) else stored
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"--checkpoint {path} holds neither a state_dict nor one under 'model'")
    try:
        model.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
    except RuntimeError as error:
        raise ValueError(f"--checkpoint {path} does not fit --model and --classes: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
