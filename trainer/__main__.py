"""`python -m trainer SPEC.json [SPEC.json ...]`: trains each spec in this process, one JSON line per epoch.

With `--out DIR` every generation is saved, and saved generations are not trained again. Specs that agree on their first
generations are trained separately here; only the service shares them. `python -m trainer replay` trains step by step
over given batches (docs/replay.md). `python -m trainer slim` extracts the slim network from a checkpoint of Knowledge
Evolution.
"""

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainer import loop, replay, spec
from trainer.batches import DataBatches, SplitName
from trainer.core import checkpoint, masks
from trainer.core.command_line import Parser, count, device, folder_to_fill, guarded, read_json, seconds
from trainer.core.determinism import pin_threads
from trainer.core.last_batch import batch_problem
from trainer.run import run


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns 0 on success, 1 if a run diverged, and 2 for a wrong spec or file."""
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(format="%(message)s")
    commands: dict[str, Callable[[list[str]], None]] = {"replay": _replay, "slim": _slim}
    chosen = commands.get(given[0]) if given else None

    def work() -> int:
        try:
            _train(given) if chosen is None else chosen(given[1:])
        except loop.Diverged as error:
            print(error, file=sys.stderr)
            return 1
        return 0

    return guarded(work)


def _spec(path: Path, flag: str) -> spec.TrainSpec:
    """Returns the spec in the file that `flag` names. Raises ValueError with the path."""
    raw = read_json(path, flag)
    try:
        return spec.read(raw)
    except spec.IsExperiment as error:
        raise ValueError(f"{flag} {path} is an experiment ({error}): use `relearn run {path}`") from error
    except ValueError as error:
        raise ValueError(f"{flag} {path}: {error}") from error


def _train(given: list[str]) -> None:
    parser = Parser(prog="python -m trainer", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("specs", nargs="+", type=Path, metavar="SPEC.json")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, one subfolder per spec and generation")
    parser.add_argument(
        "--fork", type=Path, help="checkpoint of a finished generation to go on from, made under any method"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=seconds,
        default=30.0,
        metavar="S",
        help="seconds between checkpoints inside a generation",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads", type=count, default=1, help="intra-op threads; part of what makes runs bit-identical"
    )
    options = parser.parse_args(given)
    pin_threads(options.threads)
    if options.out and len({path.stem for path in options.specs}) < len(options.specs):
        raise ValueError("two specs have the same file name, which is the name of their folder: rename one")
    where, specs = device(options.device), [(path, _spec(path, "SPEC.json")) for path in options.specs]
    for path, one in specs:
        if problem := batch_problem(one.model, one.data, one.train.batch_size):
            raise ValueError(f"SPEC.json {path}: train/batch_size: {problem}")
    if options.fork and not options.fork.is_dir():
        raise ValueError(f"--fork {options.fork}: there is no such folder of a checkpoint")
    for path, one in specs:
        out = folder_to_fill(options.out / path.stem, "--out") if options.out else None
        for row in run(one, where, out, options.fork, options.checkpoint_every):
            _print(asdict(row))


def _replay(given: list[str]) -> None:
    parser = Parser(prog="python -m trainer replay", description="One JSON line per step over given batches.")
    parser.add_argument("--spec", type=Path, required=True, metavar="SPEC.json")
    parser.add_argument(
        "--init", type=Path, required=True, metavar="WEIGHTS.pt", help="state dict that generation 0 starts from"
    )
    parser.add_argument("--key", help="the key of the state dict in --init, if that holds several")
    parser.add_argument("--batches", type=Path, required=True, metavar="BATCHES.pt", help="list of (images, labels)")
    parser.add_argument("--dtype", choices=list(replay.DTYPES), help="default: that of the spec's train.precision")
    parser.add_argument("--out", type=Path, help="folder for state dicts at the start and the end of every generation")
    options = parser.parse_args(given)
    pin_threads(1)
    one = replay.with_dtype(_spec(options.spec, "--spec"), options.dtype)
    weights, done = replay.read_weights(options.init, one, options.key)
    if done:
        print(done, file=sys.stderr)
    out = folder_to_fill(options.out, "--out") if options.out else None
    replay.replay(one, weights, replay.read_batches(options.batches), _print, out)


def _slim(given: list[str]) -> None:
    parser = Parser(prog="python -m trainer slim", description="The slim network of a KE checkpoint (KELS).")
    parser.add_argument("--spec", type=Path, required=True, metavar="SPEC.json")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="WEIGHTS.pt", help="where its state dict goes")
    options = parser.parse_args(given)
    one = _spec(options.spec, "--spec")
    if (share := one.method.slim_share()) is None:
        known = "of relearn's own methods only ke with split kels has a slim network"
        raise ValueError(f"{known}; the spec's method is {one.method.model_dump()}")
    if not options.checkpoint.is_dir():
        raise ValueError(f"--checkpoint {options.checkpoint}: there is no such folder of a checkpoint")
    if not options.out.absolute().parent.is_dir() or options.out.is_dir():
        raise ValueError(f"--out {options.out}: name a file in a folder that exists")
    dataset = one.data.load()
    state = loop.start(one, len(dataset.classes), torch.device("cpu"))
    try:
        checkpoint.load_weights(options.checkpoint, state.model)
    except RuntimeError as error:
        holds = f"--checkpoint {options.checkpoint} holds another network than the spec's {one.model.name}"
        raise ValueError(f"{holds} for {one.data.name}") from error
    thin = masks.slim(state.model, share)
    torch.save(thin.state_dict(), options.out)
    batches = DataBatches(dataset, one.train.batch_size)
    split: SplitName = "test" if batches.has_test else "train"
    _print(
        {
            "parameters": {"dense": _count(state.model), "slim": _count(thin)},
            f"{split}/accuracy": {
                "dense": batches.evaluate(state.model, split)[0],
                "slim": batches.evaluate(thin, split)[0],
            },
        }
    )


def _count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _print(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
