"""How long something takes."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def timed(device: torch.device, work: Callable[[], T]) -> tuple[T, float]:
    """Returns the result of `work` and its seconds.

    On a CPU they are seconds of CPU time, which depends least on the load of the machine, and else of wall time.
    """
    if device.type == "cpu":
        began = time.process_time()
        return work(), time.process_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    found = work()
    torch.cuda.synchronize(device)
    return found, time.perf_counter() - began
