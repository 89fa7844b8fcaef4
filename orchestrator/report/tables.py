"""Fills the cells of tables: means over seeds with intervals, the best scores marked, and the published values."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from evaluators import about
from evaluators.metrics import EPISODES, Better, Metric
from orchestrator.report import model, notes, statistics
from orchestrator.report.layouts import Layout
from orchestrator.report.reading import sentences
from orchestrator.report.source import Sample, Source
from orchestrator.spec.tables import Cell, Published


@dataclass
class Place:
    """A cell of a table while it is compared with others. In `mean` a share lies between 0 and 1."""

    source: Source
    cell: Cell
    known: Metric
    sample: Sample | None
    mean: statistics.Mean | None
    best: bool = False

    @property
    def values(self) -> dict[int, float]:
        """The score of each seed; the cell must have been measured."""
        assert self.sample is not None
        return self.sample.values


def filled(layout: Layout) -> model.Table:
    """The table of `layout` with its cells, with the best of each column (or row) marked, and with its footnotes."""
    places = [[_place(line.source, line.cell(column)) for column in layout.columns] for line in layout.lines]
    across = [list(group) for group in zip(*places, strict=True)] if layout.compare == "rows" else places
    apart = sum(not mark(group) for group in across)
    counts = Counter(place.mean.n for row in places for place in row if place.mean is not None)
    seeds = counts.most_common(1)[0][0] if counts else 0
    cells = tuple(
        tuple(
            _shown(place, line.label, column.label, line.published[index] if line.published else None)
            for index, (place, column) in enumerate(zip(row, layout.columns, strict=True))
        )
        for row, line in zip(places, layout.lines, strict=True)
    )
    shown = [place for row in places for place in row]
    return model.Table(
        name=layout.name,
        caption=layout.caption,
        compare=layout.compare,
        rows=tuple(line.label for line in layout.lines),
        columns=tuple(column.label for column in layout.columns),
        cells=cells,
        seeds=seeds,
        reading=tuple(dict.fromkeys([*sentences(cells, seeds, apart, layout), *_several_settings(shown)])),
        footnotes=tuple(dict.fromkeys([*layout.notes, *notes.of_samples(_samples(shown))])),
        source=layout.source,
    )


def mark(group: list[Place]) -> bool:
    """Marks the best of the scores in `group` that compete, and every other cell that shows the same measurement.

    The best is better than each competitor: the 95 % interval of the paired difference excludes zero. Nothing is marked
    where the score has no better direction, or where only one was measured. Returns False where the scores cannot be
    compared, because they were evaluated under different settings or on different data.
    """
    present = [place for place in group if place.mean is not None]
    kinds = {(place.cell.evaluator, place.cell.metric) for place in present}
    if len(present) < 2 or len(kinds) > 1 or (better := present[0].known.better) is None:
        return True
    if len({place.cell.dataset for place in present}) > 1:
        return True  # columns of several data sets
    if len({(place.sample.dataset, place.sample.protocol) for place in present if place.sample}) > 1:
        return False
    sign = 1 if better == "higher" else -1
    first = max(present, key=lambda place: sign * place.mean.value if place.mean else 0.0)
    same = [place for place in present if place.sample and first.sample and place.sample.nodes == first.sample.nodes]
    rivals = [place for place in present if all(place is not each for each in same)]
    if rivals and all(_beats(first, rival, better) for rival in rivals):
        for place in same:
            place.best = True
    return True


def _beats(first: Place, second: Place, better: Better) -> bool:
    gain = paired(first, second)
    if gain is None or gain.low is None or gain.high is None or math.isclose(gain.low, gain.high, rel_tol=1e-9):
        return False  # differences that are all equal have an interval without width, which proves nothing
    return gain.low > 0 if better == "higher" else gain.high < 0


def paired(first: Place, second: Place) -> statistics.Mean | None:
    """The paired difference `first - second` over the seeds that both have; None where nothing can be paired.

    Two few-shot scores of the same single seed are paired over their episodes, if those are equal.
    """
    common = sorted(first.values.keys() & second.values.keys())
    if len(common) > 1:
        return statistics.difference([first.values[s] for s in common], [second.values[s] for s in common])
    if len(common) == 1 and len(first.values) == len(second.values) == 1:
        one, other = (place.source.episodes(_only_row(place)) for place in (first, second))
        if one is not None and other is not None and one[0] == other[0] and len(one[1]) == len(other[1]):
            return statistics.difference(one[1], other[1])
    return None


def _only_row(place: Place) -> dict[str, object]:
    assert place.sample is not None
    (seed,) = place.values
    return place.sample.rows[seed]


def _place(source: Source, cell: Cell) -> Place:
    assert cell.evaluator is not None
    assert cell.metric is not None
    sample = source.sample(cell)
    values = list(sample.values.values()) if sample else []
    known = about(cell.evaluator, cell.metric)
    return Place(
        source=source,
        cell=cell,
        known=known,
        sample=sample,
        mean=statistics.mean(values) if values else None,
    )


def _shown(place: Place, row: str, column: str, printed: Published) -> model.Cell:
    cell, sample, mean = place.cell, place.sample, place.mean
    assert cell.arm is not None
    assert cell.evaluator is not None
    assert cell.metric is not None
    value, half = printed if isinstance(printed, tuple) else (printed, None)
    factor = 100.0 if place.known.share else 1.0
    empty = model.Cell(
        row=row,
        column=column,
        experiment=place.source.id,
        arm=cell.arm,
        generation=place.source.generation(cell),
        evaluator=cell.evaluator,
        dataset=sample.dataset if sample else cell.dataset or place.source.trained_on[cell.arm],
        metric=cell.metric,
        unit="percent" if place.known.share else "plain",
        published=value,
        published_half=half,
    )
    if sample is None or mean is None:
        return empty
    scaled, seeds = mean.scaled(factor), tuple(_seed_scores(sample, factor))
    return replace(
        empty,
        value=scaled.value,
        low=scaled.low,
        high=scaled.high,
        n=scaled.n,
        best=place.best,
        difference=None if value is None else scaled.value - value,
        score_n=_common_n(sample),
        score_n_of=place.known.n_of,
        episodes_half=_episodes_half(seeds) if place.known.n_of == EPISODES else None,
        seeds=seeds,
    )


def _seed_scores(sample: Sample, factor: float) -> Iterator[model.SeedScore]:
    for seed, row in sorted(sample.rows.items()):
        if row["value"] is not None:
            low, high = (None if row[name] is None else row[name] * factor for name in ("low", "high"))
            yield model.SeedScore(
                seed=seed,
                value=row["value"] * factor,
                low=low,
                high=high,
                n=row["n"],
                node=row["node"],
                made_by=row["made_by"],
            )


def _common_n(sample: Sample) -> int | None:
    counts = {sample.rows[seed]["n"] for seed in sample.values}
    return counts.pop() if len(counts) == 1 else None


def _episodes_half(seeds: tuple[model.SeedScore, ...]) -> float | None:
    halves = [(each.high - each.low) / 2 for each in seeds if each.low is not None and each.high is not None]
    return math.fsum(halves) / len(halves) if halves and len(halves) == len(seeds) else None


def _samples(places: list[Place]) -> list[Sample]:
    return [place.sample for place in places if place.sample is not None]


def _several_settings(places: list[Place]) -> Iterator[str]:
    """Sentences on scores that were evaluated under several settings, of which one is shown."""
    for place in places:
        if place.sample is not None and place.sample.others:
            many, where = place.sample.others + 1, f"{place.cell.evaluator} on {place.sample.dataset}"
            settings = json.loads(place.sample.protocol).get("settings", {})
            first = ", ".join(f"{name} {value}" for name, value in settings.items())
            yield f"{where} was evaluated under {many} settings; the first one of the spec is shown ({first})."
