"""`python -m trainer SPEC.json [SPEC.json ...]`: trains each spec in this process, one JSON line per epoch.

With `--out DIR` every generation is saved, and what is already there is not trained again. Specs that agree on their first
generations are trained separately here; sharing is the service's business.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from trainer import loop, spec
from trainer.core import checkpoint
from trainer.core.fingerprint import fingerprint, pin_threads


def main(arguments: list[str] | None = None) -> int:
    """0 when every spec was trained, 1 when one diverged, 2 for a spec that is wrong."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__.split("\n\n")[0])
    parser.add_argument("specs", nargs="+", type=Path, metavar="SPEC.json")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, one subfolder per spec and generation")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads; part of what makes runs bit-identical")
    options = parser.parse_args(arguments)
    pin_threads(options.threads)
    try:
        specs = [spec.parse(path.read_bytes()) for path in options.specs]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for path, one in zip(options.specs, specs, strict=True):
        try:
            _train(one, options.out / path.stem if options.out else None, torch.device(options.device))
        except loop.Diverged as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _train(one: spec.TrainSpec, out: Path | None, device: torch.device) -> None:
    dataset = one.data.load().to(device)
    state = loop.start(one, dataset, device)
    for saved in sorted(out.glob("g*"), reverse=True) if out else []:
        try:
            checkpoint.load(saved, state)
            break
        except checkpoint.BadCheckpoint as error:
            print(f"{error}; falling back to the generation before", file=sys.stderr)
    for row in loop.train(one, state, dataset):
        print(json.dumps(asdict(row)), flush=True)
        if out and state.epoch == one.train.epochs:
            checkpoint.save(out / f"g{state.generation:04}", state, "", fingerprint(device))


if __name__ == "__main__":
    sys.exit(main())
