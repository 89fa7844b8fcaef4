"""Counts modes and problems of images while they are decoded, and sums their values for mean and standard deviation."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer.core.data.manifest import Triple


@dataclass
class Tally:
    """The counts and sums of some rows.

    All are sums of integers, so the result does not depend on the order of rows.
    """

    modes: Counter[str] = field(default_factory=Counter)
    upscaled: int = 0
    skipped: dict[int, str] = field(default_factory=dict)
    repaired: dict[int, str] = field(default_factory=dict)
    sums_3: np.ndarray = field(default_factory=lambda: np.zeros(3))
    squares_3: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Sums of the values of each channel and of their squares `[3]`, exact up to 2**53."""

    def add(self, other: "Tally") -> None:
        """Adds the counts and sums of `other`."""
        self.modes.update(other.modes)
        self.upscaled += other.upscaled
        self.skipped |= other.skipped
        self.repaired |= other.repaired
        self.sums_3 += other.sums_3
        self.squares_3 += other.squares_3

    def count(self, pixels_N3SS: np.ndarray) -> None:
        """Adds the values of uint8 images `[N, 3, S, S]` to the sums."""
        exact = np.float32 if pixels_N3SS.shape[3] <= 256 else np.float64  # the sum over one row of pixels stays exact
        wide: Any = pixels_N3SS.astype(exact)
        self.sums_3 += wide.sum(3).sum((0, 2), dtype=np.float64)
        self.squares_3 += np.vecdot(wide, wide).sum((0, 2), dtype=np.float64)

    def moments(self, values: int) -> tuple[Triple, Triple]:
        """Returns mean and standard deviation of each channel, for `values` values per channel scaled to 0..1."""
        means, deviations = [], []
        for first, second in zip(map(int, self.sums_3), map(int, self.squares_3), strict=True):
            means.append(first / values / 255)
            deviations.append((second * values - first * first) ** 0.5 / values / 255)
        return (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])
