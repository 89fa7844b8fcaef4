"""Addressed randomness: every draw has its own generator, seeded by what the draw is for.

No global generator is ever used, so a draw of one method cannot shift the data order of another, a resumed run needs no sampler
state, and the first generation of every method with the same seed is the same.
"""

from hashlib import blake2b
from typing import Literal

import torch

Purpose = Literal[
    "init", "order", "augment", "forget", "mask", "anneal", "episode", "hessian", "data", "probe", "holdout", "search"
]


def generator(seed: int, purpose: Purpose, *address: int | str) -> torch.Generator:
    """A CPU generator for the draw at `address`, usually (generation, epoch, step); equal addresses give equal draws."""
    text = "/".join(map(str, (seed, purpose, *address)))
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return torch.Generator().manual_seed(number & (2**63 - 1))
