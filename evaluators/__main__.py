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

from pydantic import TypeAdapter
from torch import Tensor

import evaluators
from evaluators.base import Context, Evaluator, TransferEvaluator
from evaluators.evaluate import evaluate
from evaluators.features.bank import Bank
from evaluators.progress import Bar, silent
from evaluators.weights import NESTS, fitting, read_state, renamed
from trainer.core import checkpoint, data, json_text
from trainer.core.command_line import Parser, device, folder_to_fill, guarded, sentence
from trainer.core.data import AnyData, DataSpec
from trainer.core.mistakes import nearest, validated
from trainer.core.models import AnyModel, ModelSpec, skeleton


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 with a message on stderr where the user must change something."""
    options = _parser().parse_args(arguments)

    def work() -> int:
        with closing(Bar(sys.stderr)) as bar:
            record = _evaluate(options, bar)
        text = json.dumps(record, allow_nan=False)
        if options.out is None:
            print(text, flush=True)
        else:
            options.out.write_text(text + "\n")
        return 0

    return guarded(work, "evaluators: ")


def _parser() -> Parser:
    parser = Parser(prog="python -m evaluators", description="Evaluate one checkpoint with one evaluator.")
    parser.add_argument("evaluator", type=_evaluator, help=f"one of {', '.join(evaluators.names())}")
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


def _evaluator(text: str) -> str:
    """Returns the name of an evaluator, for argparse."""
    if text not in evaluators.names():
        known, meant = ", ".join(evaluators.names()), nearest(text, evaluators.names())
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {known}" + (f" (did you mean {meant}?)" if meant else "")
        )
    return text


def _evaluate(options: argparse.Namespace, bar: Bar) -> dict[str, Any]:
    kind: type[Evaluator] = evaluators.EVALUATORS[options.evaluator]
    transfers = issubclass(kind, TransferEvaluator)
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise ValueError(f"--out {options.out}: there is no folder {options.out.parent}, make it first")
    if options.out is not None and options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder: name a file")
    if options.features is not None:
        folder_to_fill(options.features, "--features")
    if options.data is None and (transfers or options.source is None):
        raise ValueError(f"{options.evaluator} needs data to evaluate on: name it with --data")
    where = device(options.device)
    model_spec: AnyModel = _named(ModelSpec, options.model, "--model")
    target = _data(options.data, "--data") if options.data else _data(options.source, "--source")
    source = _data(options.source, "--source") if options.source else target
    if not transfers and source != target:
        raise ValueError(f"{options.evaluator} uses the data the network was trained on: leave --data out")

    settings = _settings(options.set) | ({"targets": [target.text()]} if transfers else {})
    chosen: Evaluator = _valid(kind, {"name": options.evaluator} | settings, "--set")
    evaluator = chosen.for_model(model_spec)
    wrong = [*evaluator.problems(target), *evaluator.unfit(model_spec, target)]
    found = [f"{field}: {message}" for field, message in wrong]
    for field, message, meant in evaluator.model_problems(model_spec):
        found.append(f"{field}: {message}" + (f" (did you mean {meant}?)" if meant else ""))
    if found:
        raise ValueError("; ".join(found))

    try:
        state = read_state(options.checkpoint)
    except (ValueError, OSError) as error:
        raise ValueError(f"--checkpoint {sentence(error)}") from error
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
    record = evaluate(evaluator, model.to(where).eval(), source, target, context)
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
            settings[field] = json_text.parsed(value.encode())
        except ValueError:
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
            raise ValueError(f"{option} {error}") from error
    if missing := spec.problem():
        raise ValueError(f"{option} {text}: {missing}")
    return spec.resolved()


def _named(spec: Any, text: str, option: str) -> Any:
    """Returns a member of the union `spec` from its name or from its JSON object."""
    try:
        fields = json_text.parsed(text.encode()) if text.startswith("{") else {"name": text}
    except ValueError as error:
        raise ValueError(f"{option} {text} {error}") from error
    return _valid(spec, fields, option)


def _valid(spec: Any, fields: dict[str, Any], option: str) -> Any:
    try:
        return validated(TypeAdapter(spec), fields)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error


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
