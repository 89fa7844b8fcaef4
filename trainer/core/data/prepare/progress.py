"""How far a preparation is, told at most twice a second and once at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_EVERY_S = 0.5


@dataclass(frozen=True)
class Progress:
    """`done` of `total` rows of `split`; rate in rows per second, `eta_s` and `bytes` (written so far) over all splits."""

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
    """Counts rows and reports them to `report`. `totals` are the rows of each split."""

    def __init__(
        self, dataset: str, totals: Mapping[str, int], row_bytes: int, report: Report | None, clock: Callable[[], float]
    ) -> None:
        self._dataset, self._totals, self._row_bytes, self._report, self._clock = (
            dataset,
            totals,
            row_bytes,
            report,
            clock,
        )
        self._done = dict.fromkeys(totals, 0)
        self._problems = 0
        self._began = self._told = clock()

    def advance(self, split: str, rows: int, problems: int) -> None:
        self._done[split] += rows
        self._problems += problems
        now = self._clock()
        done, total = sum(self._done.values()), sum(self._totals.values())
        if self._report is None or (now < self._told + _EVERY_S and done < total):
            return
        self._told = now
        rate = done / (now - self._began) if now > self._began else 0.0
        eta_s = (total - done) / rate if rate else 0.0
        of_split = (self._done[split], self._totals[split])
        self._report(Progress(self._dataset, split, *of_split, rate, eta_s, done * self._row_bytes, self._problems))
