"""Lines of figures: which arms are drawn and after which generation, means over seeds as points with bands."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.report.model import Series
from orchestrator.report.source import Sample, Source
from orchestrator.report.statistics import mean
from orchestrator.spec.tables import Cell

MOST_LINES = 12
"""More lines than this cannot be told apart: the first are drawn, and the caption says so."""
MOST_POINTS = 300
MOST_STARTS = 40
"""More starts of generations than this would hide the lines: none are drawn."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Drawn:
    """An arm, and the name of its line."""

    source: Source
    arm: str
    label: str

    def last_judged(self, evaluator: str, dataset: str | None = None) -> int | None:
        """The last generation that the evaluator is to judge on `dataset`, or at all."""
        return max(self.source.judged(self.arm, evaluator, dataset), default=None)

    def sample(self, generation: int, evaluator: str, dataset: str | None, metric: str) -> Sample | None:
        """The score after `generation`, where every seed has it that has begun: one that has any of the arm's generations.

        Else a line would go up or down where the seeds behind it change, not a network.
        """
        found, begun = None, set[int]()
        for each in self.source.judged(self.arm, evaluator, dataset):
            sample = self.source.sample(Cell(self.arm, each, evaluator, dataset, metric))
            begun |= sample.values.keys() if sample else set()
            found = sample if each == generation else found
        return found if found and begun and found.values.keys() == begun else None

    def eigenvalues(self, generation: int) -> list[float]:
        """Those of all seeds."""
        return [
            value
            for curves in self._spectra(generation)
            for value in curves.get("eigenvalues", ())
            if value is not None
        ]

    def density(self, generation: int) -> list[tuple[float, float]]:
        """The spectral density of the first seed that has one: points (eigenvalue, density) where both are numbers."""
        for curves in self._spectra(generation):
            pairs = zip(curves.get("density/grid", ()), curves.get("density/values", ()), strict=False)
            if points := [(at, height) for at, height in pairs if at is not None and height is not None]:
                return points
        return []

    def _spectra(self, generation: int) -> Iterator[dict[str, list[float | None]]]:
        sample = self.source.sample(Cell(self.arm, generation, "hessian-spectrum", None, "max"))
        for row in sample.rows.values() if sample else ():
            yield self.source.spectra.get(row["node"], {})


def ends(arms: list[Drawn], evaluator: str, dataset: str | None = None) -> Iterator[tuple[str, Drawn, int, bool]]:
    """Label, arm and last judged generation of each line, after generation 0 where all arms that go beyond it share it."""
    beyond = [arm for arm in arms if (arm.last_judged(evaluator, dataset) or 0) > 0]
    first = [arm for arm in beyond if arm.source.judged(arm.arm, evaluator, dataset)[0] == 0]
    starts = {arm: frozenset(_nodes(arm, evaluator, dataset)) for arm in first}
    if starts and len(set(starts.values())) == 1 and all(starts.values()):
        yield "generation 0", next(iter(starts)), 0, True
    for arm in arms:
        if (at := arm.last_judged(evaluator, dataset)) is not None:
            yield arm.label, arm, at, False


def _nodes(arm: Drawn, evaluator: str, dataset: str | None) -> Iterator[str]:
    """What was measured of generation 0."""
    for label, metric in arm.source.scores.get(evaluator, {}):
        sample = arm.source.sample(Cell(arm.arm, 0, evaluator, label, metric)) if dataset in (None, label) else None
        yield from sample.nodes if sample else ()


def at_the_end(
    arms: list[Drawn], evaluator: str, line: Callable[[Drawn, int], Series | None], dataset: str | None = None
) -> tuple[list[Series], str]:
    """The lines of `ends` that have numbers, and what the caption says of those left out."""
    found = []
    for label, arm, generation, baseline in ends(arms, evaluator, dataset):
        if (drawn := line(arm, generation)) is not None:
            found.append(labelled(drawn, label, baseline))
    return shown(found, baselines=sum(each.baseline for each in found))


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
        " Intervals that reach beyond the axis are cut."
        if any(not limits[0] <= each <= limits[1] for each in bounds)
        else ""
    )


def shown(found: Sequence[Found], baselines: int = 0) -> tuple[list[Found], str]:
    """What is drawn of the arms that there are numbers for, and what the caption says of the others."""
    arms = len(found) - baselines
    said = f" The first {MOST_LINES} of {arms} arms are drawn." if arms > MOST_LINES else ""
    return list(found[: MOST_LINES + baselines]), said


def common(marks: Iterable[tuple[set[int], int]]) -> set[int] | None:
    """The marks of all arms, each given with the arm's end; None where arms differ in those before their ends."""
    marks = list(marks)
    union = set[int]().union(*(own for own, _ in marks))
    return union if all(own == {at for at in union if at <= end} for own, end in marks) else None


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
