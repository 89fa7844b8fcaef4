"""The cost of orchestration: training through the service against the same training in one plain process.

`python -m benchmarks.orchestration [--quick]` posts the spec without its evaluations to a new service, and trains the
same unique generations in one plain process before and after. The weights must be bit-equal. The wall time of the
service runs from the POST to the last committed checkpoint, so it includes the start of the job on Ray, MLflow and the
database.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from api.cli.stack import Stack
from api.client import Client
from orchestrator.intake.check import check
from orchestrator.plan import plan, segments
from orchestrator.store import Store
from trainer import loop
from trainer.batches import DataBatches
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint, pin_threads

AIM = 1.5


def main() -> int:
    """Returns 1 if a weight differs, else 0. The ratio is only reported."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__.split("\n\n")[0])
    parser.add_argument("--spec", type=Path, default=Path("examples/digits.json"))
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--plain", action="store_true", help="only the plain process (used by the script itself)")
    options = parser.parse_args()
    raw = json.loads(options.spec.read_text()) | {"evaluations": []}
    if options.quick:
        raw["seeds"] = raw["seeds"][:1]
    if options.plain:
        print(json.dumps(_plain(raw)))
        return 0
    again = [*([] if not options.quick else ["--quick"]), "--spec", str(options.spec)]
    before, digests = _timed_plain(again)
    service_s, first_s, service_digests = _service(raw)
    after, _ = _timed_plain(again)
    plain_s = (before + after) / 2
    wrong = sum(digests[key] != service_digests.get(key) for key in digests)
    print(f"{'':<28}{'seconds':>9}")
    print(f"{'plain process, before':<28}{before:>9.1f}")
    print(f"{'service, POST to committed':<28}{service_s:>9.1f}   (first epoch done after {first_s:.1f} s)")
    print(f"{'plain process, after':<28}{after:>9.1f}")
    print(f"{len(digests)} generations, {wrong} with other weights")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    line = {"benchmark": "orchestration", "ratio": round(service_s / plain_s, 3), "floor": AIM, "max_error": wrong}
    print(json.dumps(line | {"device": fingerprint(torch.device("cpu"))["cpu"], "commit": commit}))
    return int(wrong > 0)


def _timed_plain(arguments: list[str]) -> tuple[float, dict[str, str]]:
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.orchestration", "--plain", *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return time.monotonic() - began, json.loads(out)


def _plain(raw: dict[str, Any]) -> dict[str, str]:
    """Trains each unique generation once, one after another; returns node key -> digest of the weights."""
    pin_threads(1)
    spec = check(raw)
    graph = plan(spec)
    dataset = spec.data.load()
    finished: dict[str, Path] = {}
    digests = {}
    with tempfile.TemporaryDirectory() as aside:
        for segment in segments(graph, graph.nodes.keys()):
            head = segment.nodes[0]
            arm = next(arm for arm in spec.arms if arm.name == head.arm)
            one = spec.train_spec(arm, head.seed)
            state = loop.start(one, len(dataset.classes), torch.device("cpu"))
            if segment.parent is not None:
                checkpoint.load(finished[segment.parent], state)
            for _ in loop.train(
                one, state, DataBatches(dataset, one.train.batch_size), generations=segment.nodes[-1].generation + 1
            ):
                if state.epoch == one.train.epochs:
                    key = segment.nodes[state.generation - head.generation].key
                    finished[key] = Path(aside) / key
                    manifest = checkpoint.save(finished[key], state, key, fingerprint(state.device))
                    digests[key] = manifest.weights_sha256
    return digests


def _service(raw: dict[str, Any]) -> tuple[float, float, dict[str, str]]:
    with tempfile.TemporaryDirectory() as home:
        stack = Stack(Path(home))
        stack.start()
        stack.wait_for_mlflow()
        try:
            with Client(stack.links["api"]) as client:
                began = time.time()
                identity = client.submit(raw)["id"]
                view = list(client.watch(identity))[-1]
            assert view["state"] == "SUCCEEDED", view["message"]
        finally:
            stack.stop()
        store = Store(f"sqlite:///{home}/relearn.db")
        nodes = store.nodes_of(identity)
        first = store.training_began(identity) or began
        store.close()
    finished = max(node.finished_at or 0.0 for node in nodes.values())
    return finished - began, first - began, {key: str(node.weights_sha256) for key, node in nodes.items()}


if __name__ == "__main__":
    sys.exit(main())
