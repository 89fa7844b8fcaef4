"""How long something takes."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def timed(device: torch.device, work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and its seconds: of CPU time on a CPU, which a busy machine stretches least, else by the clock."""
    if device.type == "cpu":
        began = time.process_time()
        return work(), time.process_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    found = work()
    torch.cuda.synchronize(device)
    return found, time.perf_counter() - began
