"""The time to check, plan and answer for a spec: the whole paper, and a grid of 10,000 generations.

`python -m benchmarks.planning` prints the median of some rounds in milliseconds of CPU time, on an empty database and
on one that already has everything. The ratio is the lower of the two rates in nodes per second,
divided by its floor.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import print_result
from benchmarks.timing import timed
from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.estimate.forecast import forecast
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.problems import Problem
from orchestrator.spec import Resources
from orchestrator.store import Store

FLOOR = 50_000.0
"""The least number of nodes planned per second. As many digests of 300 bytes of JSON can be computed."""
CPU = torch.device("cpu")
GRID: dict[str, Any] = {
    "name": "grid",
    "data": {"name": "digits"},
    "model": {"name": "resnet18"},
    "train": {"generations": 10, "epochs": 160},
    "arms": [
        {
            "name": "seal",
            "method": {"name": "seal"},
            "grid": {"ascent_scale": [scale / 1000 for scale in range(1, 11)], "ascent_epochs": list(range(1, 11))},
        }
    ],
    "seeds": list(range(10)),
    "evaluations": [
        {"evaluator": {"name": "accuracy"}},
        {"evaluator": {"name": "linear-probe", "targets": ["digits-edges", "digits-rot90", "digits-inverted"]}},
    ],
}


class _Nowhere:
    """A cluster of two CPUs without timing runs."""

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": 2.0}]

    def time(self, asked: list[TimingRequest], resources: Resources) -> str:
        return "nothing is timed here"


def main() -> int:
    """Returns 1 if planning is slower than its floor, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'':<12}{'nodes':>8}{'read ms':>9}{'plan ms':>9}{'answer ms':>11}{'... all known ms':>18}{'nodes/s':>10}")
    slowest = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RELEARN_DATA"] = str(Path(folder) / "nothing")
        for name, raw in (("paper/all", {"preset": "paper/all"}), ("grid", GRID)):
            slowest = min(slowest, _row(name, raw, Path(folder), rounds))
    print_result("planning", slowest / FLOOR, 1.0, 0.0, CPU)
    return int(slowest < FLOOR)


def _row(name: str, raw: dict[str, Any], folder: Path, rounds: int) -> float:
    """Prints a line and returns the nodes per second of planning alone."""
    store = Store(f"sqlite:///{folder / name.replace('/', '-')}.db")
    missing: list[Problem] = []
    spec = intake.read_spec(raw, store, missing=missing)  # also loads what is loaded once
    plan = planning.plan(spec)

    def median_ms(work: Callable[[], object]) -> float:
        return statistics.median(timed(CPU, work)[1] for _ in range(rounds)) * 1e3

    read = median_ms(lambda: intake.read_spec(raw, store, missing=[]))
    planned = median_ms(lambda: planning.plan(spec))
    fresh = median_ms(lambda: forecast(spec, missing, store, _Nowhere()))
    store.submit(spec.name, spec.model_dump(mode="json"), plan)
    known = median_ms(lambda: forecast(spec, missing, store, _Nowhere()))
    store.close()
    rate = len(plan.nodes) / planned * 1e3
    print(f"{name:<12}{len(plan.nodes):>8}{read:>9.1f}{planned:>9.1f}{fresh:>11.1f}{known:>18.1f}{rate:>10,.0f}")
    return rate


if __name__ == "__main__":
    sys.exit(main())
