"""Reports the progress of a preparation at most twice a second and once at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_EVERY_S = 0.5


@dataclass(frozen=True)
class Progress:
    """The progress of a preparation.

    `done` and `total` count rows of `split`. Over all splits, `rate` is in rows per second, `eta_s` is the expected
    time left in seconds, `bytes` were written so far, and `problems` counts damaged images.
    """

    dataset: str
    split: str
    done: int
    total: int
    rate: float
    eta_s: float
    bytes: int
    problems: int


Report = Callable[[Progress], None]


class Meter:
    """Counts finished rows and calls `report`. `totals` holds the number of rows of each split."""

    def __init__(
        self, dataset: str, totals: Mapping[str, int], row_bytes: int, report: Report | None, clock: Callable[[], float]
    ) -> None:
        self._dataset, self._totals, self._row_bytes = dataset, totals, row_bytes
        self._report, self._clock = report, clock
        self._done = dict.fromkeys(totals, 0)
        self._problems = 0
        self._began = self._reported_at = clock()

    def advance(self, split: str, rows: int, problems: int) -> None:
        """Adds `rows` finished rows of `split`, of which `problems` had a damaged image."""
        self._done[split] += rows
        self._problems += problems
        now = self._clock()
        done, total = sum(self._done.values()), sum(self._totals.values())
        if self._report is None or (now < self._reported_at + _EVERY_S and done < total):
            return
        self._reported_at = now
        rate = done / (now - self._began) if now > self._began else 0.0
        eta_s = (total - done) / rate if rate else 0.0
        self._report(
            Progress(
                self._dataset,
                split,
                self._done[split],
                self._totals[split],
                rate,
                eta_s,
                done * self._row_bytes,
                self._problems,
            )
        )
