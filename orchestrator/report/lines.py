"""Lines of figures: which arms are drawn and after which generation, means over seeds as points with bands."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.layout import Cell
from orchestrator.report.model import Series
from orchestrator.report.source import Source
from orchestrator.report.statistics import mean

MOST_LINES = 12
"""More lines than this cannot be told apart: the first are drawn, and the caption says so."""
MOST_POINTS = 300


@dataclass(frozen=True)
class Drawn:
    """An arm, and the name of its line."""

    source: Source
    arm: str
    label: str

    def last_judged(self, evaluator: str) -> int | None:
        """The last generation that the evaluator is to judge."""
        return max(self.source.judged(self.arm, evaluator), default=None)

    def scores(self, generation: int, evaluator: str, dataset: str | None, metric: str) -> list[float]:
        """One of each seed that has it."""
        sample = self.source.sample(Cell(self.arm, generation, evaluator, dataset, metric))
        return list(sample.values.values()) if sample else []

    def pooled(self, generation: int, curve: str) -> list[list[float]]:
        """A curve of the Hessian spectrum, of each seed that has it."""
        found = []
        sample = self.source.sample(Cell(self.arm, generation, "hessian-spectrum", None, "max"))
        for row in sample.rows.values() if sample else ():
            values = self.source.spectra.get(row["node"], {}).get(curve, [])
            found.append([value for value in values if value is not None])
        return [each for each in found if each]


def ends(arms: list[Drawn], evaluator: str) -> Iterator[tuple[str, Drawn, int, bool]]:
    """Label, arm and last judged generation of each line, after generation 0 where all arms that go beyond it share it."""
    beyond = [arm for arm in arms if (arm.last_judged(evaluator) or 0) > 0]
    starts = {arm: frozenset(_nodes(arm, evaluator)) for arm in beyond if arm.source.judged(arm.arm, evaluator)[0] == 0}
    if starts and len(set(starts.values())) == 1 and all(starts.values()):
        yield "generation 0", next(iter(starts)), 0, True
    ends = ((arm, at) for arm in arms if (at := arm.last_judged(evaluator)) is not None)
    for index, (arm, generation) in enumerate(ends):
        if index < MOST_LINES:
            yield arm.label, arm, generation, False


def _nodes(arm: Drawn, evaluator: str) -> Iterator[str]:
    """What was measured of generation 0."""
    for dataset, metric in arm.source.scores.get(evaluator, {}):
        if sample := arm.source.sample(Cell(arm.arm, 0, evaluator, dataset, metric)):
            yield from sample.nodes


def at_the_end(arms: list[Drawn], evaluator: str, line: Callable[[Drawn, int], Series | None]) -> Iterator[Series]:
    for label, arm, generation, baseline in ends(arms, evaluator):
        if (found := line(arm, generation)) is not None:
            yield labelled(found, label, baseline)


def labelled(line: Series, label: str, baseline: bool = False) -> Series:
    return replace(line, label=label, baseline=baseline)


def line_of(label: str, x: Sequence[float], values: Sequence[list[float]]) -> Series:
    """Means, with a band where a point has several seeds."""
    means = [mean(each) for each in values]
    low, high = tuple(each.low for each in means), tuple(each.high for each in means)
    several = any(each.n > 1 for each in means)
    y = tuple(each.value for each in means)
    return Series(label, tuple(map(float, x)), y, low if several else None, high if several else None)


def first(line: Series) -> float:
    return next(value for value in line.y if value is not None)


def last(line: Series) -> float:
    return next(value for value in reversed(line.y) if value is not None)


def bands(lines: Iterable[Series]) -> str:
    return ", mean over seeds with its 95 % interval" if any(line.low for line in lines) else ""


def limits_of(lines: Iterable[Series]) -> tuple[float, float]:
    """Of an axis in percent: all means, and intervals as far as they leave room for those to be told apart."""
    lines = list(lines)
    means = [value for line in lines for value in line.y if value is not None]
    bounds = [value for line in lines for value in (*(line.low or ()), *(line.high or ())) if value is not None]
    bottom, top = min(means), max(means)
    room = max(0.5 * (top - bottom), 1.0)
    low = max(min([bottom, *bounds]), bottom - room)
    high = min(max([top, *bounds]), top + room)
    pad = 0.05 * (high - low or 1.0)
    return max(low - pad, min(0.0, bottom)), min(high + pad, max(100.0, top))


def cut(lines: Iterable[Series], limits: tuple[float, float]) -> str:
    """Says where an interval goes beyond the axis."""
    bounds = (value for line in lines for value in (*(line.low or ()), *(line.high or ())) if value is not None)
    return (
        " Intervals that reach beyond the axis are cut." if any(not limits[0] <= each <= limits[1] for each in bounds) else ""
    )


def left_out(arms: int) -> str:
    return f" The first {MOST_LINES} of {arms} arms are drawn." if arms > MOST_LINES else ""


def spans_of(epochs: Iterable[int]) -> tuple[tuple[float, float], ...]:
    """Runs of consecutive epochs as (begin, end) on an axis where epoch e takes e - 1 to e."""
    spans: list[tuple[float, float]] = []
    for epoch in sorted(epochs):
        if spans and spans[-1][1] == epoch - 1:
            spans[-1] = spans[-1][0], float(epoch)
        else:
            spans.append((float(epoch - 1), float(epoch)))
    return tuple(spans)


def ranges(spans: Iterable[tuple[float, float]]) -> str:
    return ", ".join(f"{begin + 1:.0f} to {end:.0f}" if end - begin > 1 else f"{end:.0f}" for begin, end in spans)


def thinned(epochs: Sequence[int], per_generation: int) -> list[int]:
    """At most about MOST_POINTS of `epochs`, evenly, and the last of every generation."""
    step = -(-len(epochs) // MOST_POINTS)
    final = {(at - 1) // per_generation: at for at in epochs}
    return [at for index, at in enumerate(epochs) if index % step == 0 or final[(at - 1) // per_generation] == at]
