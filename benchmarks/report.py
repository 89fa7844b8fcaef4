"""The last line of every benchmark."""

import json
import subprocess

import torch

from trainer.core.determinism import fingerprint


def print_result(benchmark: str, ratio: float, floor: float, max_error: float, device: torch.device) -> None:
    """Prints the result as one line of JSON. `ratio` is ours over the baseline, and `floor` is its least value."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    now = fingerprint(device)
    name = now["cpu"] if device.type == "cpu" else now["device"]
    line = {"benchmark": benchmark, "ratio": round(ratio, 3), "floor": floor, "max_error": max_error}
    print(json.dumps(line | {"device": name, "commit": commit}))
