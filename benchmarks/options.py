"""The command line that the benchmarks of the evaluators and of training steps have in common."""

import argparse

from trainer.core.determinism import pin_threads


def read_options(name: str, doc: str | None) -> argparse.Namespace:
    """Returns `quick` and `device` from the command line of `benchmarks.NAME`, and fixes this process to one thread."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=(doc or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="about a minute on a CPU")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    pin_threads(1)
    return options
