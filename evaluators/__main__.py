"""Evaluates one checkpoint with one evaluator and prints the record as a JSON object.

    python -m evaluators few-shot --checkpoint model.pt --model resnet-digits --data digits-edges \
        --set shots=[1,5] --set episodes=100
"""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

import evaluators
from evaluators.base import Context, Evaluator, TransferEvaluator
from evaluators.evaluate import evaluate
from evaluators.features.bank import Bank
from evaluators.progress import Bar, silent
from evaluators.weights import NESTS, fitting, read_state, renamed
from trainer.core import checkpoint, data
from trainer.core.data import AnyData, DataSpec
from trainer.core.models import AnyModel, ModelSpec, skeleton


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 with a message on stderr where the user must change something."""
    options = _parser().parse_args(arguments)
    try:
        with closing(Bar(sys.stderr)) as bar:
            record = _evaluate(options, bar)
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
    parser = argparse.ArgumentParser(
        prog="python -m evaluators", description="Evaluate one checkpoint with one evaluator."
    )
    parser.add_argument("evaluator", choices=evaluators.names())
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        help=f"a file of torch.save with a state_dict, bare or under one of {', '.join(NESTS)}; "
        "or a checkpoint folder of ours",
    )
    parser.add_argument("--model", required=True, help="the architecture: a model's name, or its spec as a JSON object")
    parser.add_argument("--classes", type=int, help="outputs of the model (default: the rows of its fc.weight)")
    parser.add_argument("--data", help="the data to evaluate on: a name or a JSON object (default: --source)")
    parser.add_argument(
        "--source", help="the data it was trained on, needed where an evaluator runs on that (default: --data)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="a setting of the evaluator")
    parser.add_argument(
        "--strip-prefix", default="", metavar="PREFIX", help="cut from the state_dict's names, such as module."
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a prefix of the names that are left, and what the model has in its place; the first that fits counts",
    )
    parser.add_argument("--device", default="cpu", help="where to run: cpu, cuda, cuda:1")
    parser.add_argument(
        "--features", type=Path, metavar="DIR", help="keep layer outputs here for other evaluators (20 GiB)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the record goes (default: stdout)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _evaluate(options: argparse.Namespace, bar: Bar) -> dict[str, Any]:
    kind: type[Evaluator] = evaluators.EVALUATORS[options.evaluator]
    transfers = issubclass(kind, TransferEvaluator)
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise ValueError(f"--out {options.out}: there is no folder {options.out.parent}, make it first")
    if options.data is None and (transfers or options.source is None):
        raise ValueError(f"{options.evaluator} needs data to evaluate on: name it with --data")
    model_spec: AnyModel = _named(ModelSpec, options.model, "--model")
    target = _data(options.data, "--data") if options.data else _data(options.source, "--source")
    source = _data(options.source, "--source") if options.source else target
    if not transfers and source != target:
        raise ValueError(f"{options.evaluator} uses the data the network was trained on: leave --data out")

    settings = _settings(options.set) | ({"targets": [target.text()]} if transfers else {})
    chosen: Evaluator = _valid(kind, {"name": options.evaluator} | settings, "--set")
    evaluator = chosen.for_model(model_spec)
    if problems := [f"{field}: {message}" for field, message in evaluator.problems(target)]:
        raise ValueError("; ".join(problems))

    try:
        state = read_state(options.checkpoint)
    except ValueError as error:
        raise ValueError(f"--checkpoint {error}") from error
    state = renamed(state, options.strip_prefix, options.rename)
    classes = _classes(options.classes, state)
    if (options.source or not transfers) and (has := len(source.class_names())) != classes:
        raise ValueError(
            f"the network has {classes} outputs but {source.text()!r} has {has} classes: name the data it learned"
        )
    model = skeleton(model_spec, classes)
    try:
        state = fitting(state, dict(model.state_dict()), model_spec.name)
    except ValueError as error:
        raise ValueError(f"--checkpoint {options.checkpoint}: {error}") from error
    model.to_empty(device="cpu").load_state_dict(state)
    context = Context(Bank(options.features), silent if options.quiet else bar)
    record = evaluate(evaluator, model.to(_device(options.device)).eval(), source, target, context)
    if transfers and options.source is None:
        record["details"]["source"] = None  # it was not given what the network was trained on
    subject = {"model": model_spec.model_dump(mode="json"), "classes": classes}
    return subject | {"weights_sha256": checkpoint.weights_digest(state)} | record


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
    """Returns the resolved data set from the name of a target or from its JSON object."""
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
    """Returns a member of the union `spec` from its name or from its JSON object."""
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


def _classes(given: int | None, state: dict[str, Tensor]) -> int:
    weight = state.get("fc.weight")
    if given is not None:
        return given
    if weight is None or weight.ndim != 2:
        raise ValueError(
            "the checkpoint has no fc.weight, which has the number of outputs: give --classes, or --rename it"
        )
    return len(weight)


if __name__ == "__main__":
    sys.exit(main())
