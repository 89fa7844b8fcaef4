"""Addressed randomness: every draw has its own generator, which is seeded by the purpose and address of the draw.

No global generator is used. Therefore the draws of one method cannot shift the data order of another, a resumed run
needs no sampler state, and all methods with the same seed have the same first generation.
"""

from hashlib import blake2b
from typing import Literal

import torch

Purpose = Literal[
    "init", "order", "augment", "forget", "mask", "anneal", "episode", "hessian", "data", "probe", "holdout", "search"
]


def generator(seed: int, purpose: Purpose, *address: int | str) -> torch.Generator:
    """Returns a CPU generator for the draw at `address`, which is usually (generation, epoch, step).

    Equal arguments give equal draws.
    """
    text = "/".join(map(str, (seed, purpose, *address)))
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return torch.Generator().manual_seed(number & (2**63 - 1))
