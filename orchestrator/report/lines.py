"""The lines of figures: which arms are drawn, after which generation, and means over seeds as points with bands."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.report.first_generation import first_generation
from orchestrator.report.model import Series
from orchestrator.report.source import Sample, Source
from orchestrator.report.statistics import mean
from orchestrator.spec.tables import Cell

MOST_LINES = 12
"""A panel draws the first of more lines than this, which could not be distinguished, and the caption notes it."""
MOST_PANELS = 12
"""A figure shows the first of more panels than this, and the caption notes it."""
MOST_POINTS = 300
"""A line is thinned to about this many points."""
MOST_STARTS = 40
"""More starts of generations than this would hide the lines, so none are drawn."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Drawn:
    """An arm of an experiment that figures draw, with the name of its line."""

    source: Source
    arm: str
    label: str

    def last_evaluated(self, evaluator: str, dataset: str | None = None) -> int | None:
        """The last generation that is to be evaluated, on `dataset` if one is given; None where there is none."""
        return max(self.source.evaluated_generations(self.arm, evaluator, dataset), default=None)

    def sample(self, generation: int, evaluator: str, dataset: str | None, metric: str) -> Sample | None:
        """The score after `generation`, or None unless every seed with a score of any generation has one here.

        A mean over fewer seeds would move the line because the seeds differ, not because the networks do.
        """
        found, begun = None, set[int]()
        for each in self.source.evaluated_generations(self.arm, evaluator, dataset):
            cell = Cell(
                arm=self.arm,
                generation=each,
                evaluator=evaluator,
                dataset=dataset,
                metric=metric,
            )
            sample = self.source.sample(cell)
            begun |= sample.values.keys() if sample else set()
            found = sample if each == generation else found
        return found if found and begun and found.values.keys() == begun else None

    def eigenvalues(self, generation: int) -> list[float]:
        """The Hessian eigenvalues of all seeds after `generation`, pooled."""
        return [
            value
            for curves in self._spectra(generation)
            for value in curves.get("eigenvalues", ())
            if value is not None
        ]

    def density(self, generation: int) -> list[tuple[float, float]]:
        """The spectral density of the first seed that has one, as points (eigenvalue, density) with two numbers."""
        for curves in self._spectra(generation):
            pairs = zip(curves.get("density/grid", ()), curves.get("density/values", ()), strict=False)
            if points := [(at, height) for at, height in pairs if at is not None and height is not None]:
                return points
        return []

    def _spectra(self, generation: int) -> Iterator[dict[str, list[float | None]]]:
        cell = Cell(
            arm=self.arm,
            generation=generation,
            evaluator="hessian-spectrum",
            dataset=None,
            metric="max",
        )
        sample = self.source.sample(cell)
        for row in sample.rows.values() if sample else ():
            yield self.source.spectra.get(row["node"], {})


def ends(arms: list[Drawn], evaluator: str, dataset: str | None = None) -> Iterator[tuple[str, Drawn, int, bool]]:
    """Yields each line as its label, its arm, the arm's last evaluated generation, and whether it is the baseline.

    Generation 0 comes first, as the baseline, where all arms that are evaluated later too share it.
    """
    starts = {arm: first_generation(arm.source, arm.arm, evaluator, dataset) for arm in arms}
    first = [arm for arm in arms if starts[arm] is not None]
    if first and len({starts[arm] for arm in first}) == 1 and starts[first[0]]:
        yield "generation 0", first[0], 0, True
    for arm in arms:
        if (at := arm.last_evaluated(evaluator, dataset)) is not None:
            yield arm.label, arm, at, False


def at_the_end(
    arms: list[Drawn], evaluator: str, line: Callable[[Drawn, int], Series | None], dataset: str | None = None
) -> tuple[list[Series], str]:
    """The lines of `ends` that have numbers, and the sentence of the caption on those left out."""
    found = []
    for label, arm, generation, baseline in ends(arms, evaluator, dataset):
        if (drawn := line(arm, generation)) is not None:
            found.append(labelled(drawn, label, baseline))
    return shown(found, baselines=sum(each.baseline for each in found))


def labelled(line: Series, label: str, baseline: bool = False) -> Series:
    """A copy of `line` with another label."""
    return replace(line, label=label, baseline=baseline)


def line_of(label: str, x: Sequence[float], values: Sequence[list[float]]) -> Series:
    """A line through the mean of `values` at each x, with a band if any point has several seeds."""
    means = [mean(each) for each in values]
    several = any(each.n > 1 for each in means)
    return Series(
        label=label,
        x=tuple(map(float, x)),
        y=tuple(each.value for each in means),
        low=tuple(each.low for each in means) if several else None,
        high=tuple(each.high for each in means) if several else None,
    )


def first(line: Series) -> float:
    """The first value of a line that has one."""
    return next(value for value in line.y if value is not None)


def last(line: Series) -> float:
    """The last value of a line that has one."""
    return next(value for value in reversed(line.y) if value is not None)


def bands(lines: Iterable[Series]) -> str:
    """The part of a caption that explains the bands; empty where no line has one."""
    return ", mean over seeds with its 95 % interval" if any(line.low for line in lines) else ""


def limits_of(lines: Iterable[Series]) -> tuple[float, float]:
    """Limits of an axis in percent that show every mean, and intervals as far as the means can still be distinguished.

    Intervals add at most half the span of the means on either side, and at least one point.
    """
    lines = list(lines)
    means = [value for line in lines for value in line.y if value is not None]
    bounds = _bounds(lines)
    bottom, top = min(means), max(means)
    margin = max(0.5 * (top - bottom), 1.0)
    low = max(min([bottom, *bounds]), bottom - margin)
    high = min(max([top, *bounds]), top + margin)
    pad = 0.05 * (high - low or 1.0)
    return max(low - pad, min(0.0, bottom)), min(high + pad, max(100.0, top))


def cut(lines: Iterable[Series], limits: tuple[float, float]) -> str:
    """The sentence of a caption on intervals that reach beyond the axis; empty where none does."""
    return (
        " Intervals that reach beyond the axis are cut."
        if any(not limits[0] <= each <= limits[1] for each in _bounds(lines))
        else ""
    )


def _bounds(lines: Iterable[Series]) -> list[float]:
    return [value for line in lines for value in (*(line.low or ()), *(line.high or ())) if value is not None]


def shown(found: Sequence[Found], baselines: int = 0) -> tuple[list[Found], str]:
    """The first MOST_LINES arms of `found` after its baselines, and the sentence of the caption on those left out."""
    arms = len(found) - baselines
    left_out = f" The first {MOST_LINES} of {arms} arms are drawn." if arms > MOST_LINES else ""
    return list(found[: MOST_LINES + baselines]), left_out


def panels_left_out(count: int, what: str) -> str:
    """The sentence of a caption on panels beyond MOST_PANELS, one for each of `count` `what`; empty where all fit."""
    return f" The first {MOST_PANELS} of {count} {what} have a panel." if count > MOST_PANELS else ""


def common(marks: Iterable[tuple[set[int], int]]) -> set[int] | None:
    """The union of the marks of all arms, each given with the last epoch of its arm.

    None where an arm lacks a mark that another arm has at or before the first one's last epoch.
    """
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
    """The epochs of `spans_of` in words: `4` or `5 to 8`, separated by commas."""
    return ", ".join(f"{begin + 1:.0f} to {end:.0f}" if end - begin > 1 else f"{end:.0f}" for begin, end in spans)


def thinned(epochs: Sequence[int], per_generation: int) -> list[int]:
    """About MOST_POINTS of `epochs` at even distances, and the last one of every generation."""
    step = -(-len(epochs) // MOST_POINTS)
    final = {(at - 1) // per_generation: at for at in epochs}
    return [at for index, at in enumerate(epochs) if index % step == 0 or final[(at - 1) // per_generation] == at]
