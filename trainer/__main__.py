"""`python -m trainer SPEC.json [SPEC.json ...]`: trains each spec in this process, one JSON line per epoch.

With `--out DIR` every generation is saved, and saved generations are not trained again. Specs that agree on their first
generations are trained separately here; only the service shares them. `python -m trainer replay` trains step by step
over given batches (docs/replay.md). `python -m trainer slim` extracts the slim network from a checkpoint of Knowledge
Evolution.
"""

import argparse
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
from trainer.core.determinism import pin_threads
from trainer.run import run


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns 0 on success, 1 if a run diverged, and 2 for a wrong spec or file."""
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(format="%(message)s")
    commands: dict[str, Callable[[list[str]], None]] = {"replay": _replay, "slim": _slim}
    try:
        if given and given[0] in commands:
            commands[given[0]](given[1:])
        else:
            _train(given)
    except loop.Diverged as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _train(given: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("specs", nargs="+", type=Path, metavar="SPEC.json")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, one subfolder per spec and generation")
    parser.add_argument(
        "--fork", type=Path, help="checkpoint of a finished generation to go on from, made under any method"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds between checkpoints inside a generation",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="intra-op threads; part of what makes runs bit-identical"
    )
    options = parser.parse_args(given)
    pin_threads(options.threads)
    if options.out and len({path.stem for path in options.specs}) < len(options.specs):
        raise ValueError("two specs have the same file name, which is the name of their folder: rename one")
    for path, one in [(path, spec.parse(path.read_bytes())) for path in options.specs]:
        out = options.out / path.stem if options.out else None
        for row in run(one, torch.device(options.device), out, options.fork, options.checkpoint_every):
            _print(asdict(row))


def _replay(given: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m trainer replay", description="One JSON line per step over given batches."
    )
    parser.add_argument("--spec", type=Path, required=True, metavar="SPEC.json")
    parser.add_argument(
        "--init", type=Path, required=True, metavar="WEIGHTS.pt", help="state dict that generation 0 starts from"
    )
    parser.add_argument("--batches", type=Path, required=True, metavar="BATCHES.pt", help="list of (images, labels)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--out", type=Path, help="folder for state dicts at the start and the end of every generation")
    options = parser.parse_args(given)
    pin_threads(1)
    one = spec.parse(options.spec.read_bytes())
    precision = "fp64" if options.dtype == "float64" else "fp32"
    one = one.model_copy(update={"train": one.train.model_copy(update={"precision": precision})})
    for row in replay.replay(one, replay.read(options.init), replay.read_batches(options.batches), options.out):
        _print(row)


def _slim(given: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m trainer slim", description="The slim network of a KE checkpoint (KELS)."
    )
    parser.add_argument("--spec", type=Path, required=True, metavar="SPEC.json")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="WEIGHTS.pt", help="where its state dict goes")
    options = parser.parse_args(given)
    one = spec.parse(options.spec.read_bytes())
    if (share := one.method.slim_share()) is None:
        known = "of relearn's own methods only ke with split kels has a slim network"
        raise ValueError(f"{known}; the spec's method is {one.method.model_dump()}")
    dataset = one.data.load()
    state = loop.start(one, len(dataset.classes), torch.device("cpu"))
    checkpoint.load_weights(options.checkpoint, state.model)
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
