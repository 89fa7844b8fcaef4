"""The table of results: the scores of every arm after its own last generation, beside those of generation 0."""

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from api.cli.tables.columns import End, Shown, columns_of, ends_of, heading_of, same_end, starts_of
from api.cli.tables.fitted import Column, Fitted
from api.cli.tables.scores import Row, Score, scale, scores_of, without_repeats
from orchestrator.numbers import decimals, number, with_half

NOT_MEASURED = "-"
_EPISODES = "episodes"


def results_table(rows: list[dict[str, Any]], everything: bool = False) -> Fitted:
    """Returns the scores of every arm after its own last evaluated generation, beside those of generation 0.

    A cell is the mean over seeds and the sample standard deviation; with one seed, few-shot scores have half of their
    95 % interval over episodes. A cell says where its generation or number of seeds is not that of its heading. Only
    headline scores are shown unless `everything` is true, and a measurement that was made twice is shown once. Rows
    without `unit` and `headline`, as an earlier server sends them, are all shown as they are.
    """
    if not rows:
        return Fitted((), (), title="Nothing was measured yet.")
    ends = ends_of(rows)
    wanted = rows if everything else list(without_repeats(row for row in rows if row.get("headline", True)))
    starts, scores = starts_of(rows, ends), scores_of(wanted)
    columns = [
        column
        for column in columns_of(ends, starts)
        if not column.first or any(of_cell for score in scores for _, of_cell in [column.rows(score)])
    ]
    found = [(score, [column.rows(score) for column in columns]) for score in scores]
    shown = [row for _, line in found for _, of_cell in line for row in of_cell]
    seeds = max(len(_finite(of_cell)) for _, line in found for _, of_cell in line) if found else 0
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for score, line in found:
        cells = [_cell(score, column, *each, seeds) for column, each in zip(columns, line, strict=True)]
        heading = score.heading + _counted([row for _, of_cell in line for row in of_cell])
        blocks.setdefault(heading, []).append((score.label, *cells))
    laid_out: list[str | tuple[str, ...]] = []
    for heading, lines in blocks.items():
        laid_out += [heading, *lines]
    gaps = any(NOT_MEASURED in cells for lines in blocks.values() for _, *cells in lines)
    return Fitted(
        columns=(Column(), *(Column(heading_of(column, ends), right=True) for column in columns)),
        lines=tuple(laid_out),
        title=_title(ends, seeds),
        notes=tuple(dict.fromkeys([*_reading(shown, seeds, gaps), *_about_arms(ends, starts), *_remarks(shown)])),
    )


def _title(ends: dict[str, End], seeds: int) -> str:
    end = same_end(ends)
    after = f"After {end.text}" if end is not None else "After the last evaluated generation of each arm"
    counting = " (0 is the first network)" if any(each.generation for each in ends.values()) else ""
    return f"{after}{counting}, {f'mean ± SD over {seeds} seeds' if seeds > 1 else 'one seed'}"


def _counted(rows: list[Row]) -> str:
    """What the scores average, such as ` (896 images)`; empty where that is not known."""
    counts = sorted({row["n"] for row in rows if row.get("n") is not None})
    if not counts:
        return ""
    text = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f" ({text} {rows[0]['n_of']})" if rows[0].get("n_of") else f" (n = {text})"


def _cell(score: Score, column: Shown, generation: int, rows: list[Row], seeds: int) -> str:
    if not rows:
        return NOT_MEASURED
    values = _finite(rows)
    remarks = [f"generation {generation}"] if generation != column.generation else []
    if len(values) < len(rows):
        remarks.append(f"{len(rows) - len(values)} of {len(rows)} not finite")
    if values and len(values) != seeds:
        remarks.append(f"{len(values)} seed{'s' if len(values) > 1 else ''}")
    remark = f"({', '.join(remarks)})" if remarks else ""
    if not values:
        return remark
    factor, _ = scale(score.known)
    half = statistics.stdev(values) if len(values) > 1 else _half(rows[0]) if seeds == 1 else None
    scaled = None if half is None else half * factor
    return " ".join(filter(None, (with_half(statistics.fmean(values) * factor, scaled, factor == 100), remark)))


def _finite(rows: list[Row]) -> list[float]:
    return [row["value"] for row in rows if row["value"] is not None]


def _half(row: Row) -> float | None:
    """Half of the 95 % interval over episodes of a score; None for other scores."""
    low, high = row.get("low"), row.get("high")
    return (high - low) / 2 if row.get("n_of") == _EPISODES and low is not None and high is not None else None


def _reading(rows: list[Row], seeds: int, gaps: bool) -> Iterator[str]:
    """How to read the cells: what ± is, of which scores and over how many."""
    if seeds > 1:
        yield "SD: sample standard deviation over the seeds; `relearn report` has 95 % intervals"
    for evaluator in dict.fromkeys(row["evaluator"] for row in rows):
        halves = [(_half(row), row) for row in rows if row["evaluator"] == evaluator]
        widths = sorted(half * scale(row)[0] for half, row in halves if half is not None)
        counts = sorted({row["n"] for half, row in halves if half is not None})
        if not widths:
            continue
        over = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        if seeds == 1:
            yield f"{evaluator}: ± is half of the 95 % interval over {over} episodes"
        else:
            least, most = (number(width, decimals(width, percent=True)) for width in (widths[0], widths[-1]))
            between = f"± {least}" if least == most else f"± {least} to {most}"
            yield f"{evaluator}: the 95 % interval of one network over its {over} episodes is {between}"
    if gaps:
        yield f"{NOT_MEASURED}: not measured"


def _about_arms(ends: dict[str, End], starts: list[tuple[str, ...]]) -> Iterator[str]:
    """Which arms share generation 0, where not all do, and which were not trained."""
    for arms in starts:
        if 1 < len(arms) < len(ends):
            yield f"generation 0 is the same network for {', '.join(arms)}"
    for arm, end in ends.items():
        if end.checkpoint:
            yield f"{arm}: a checkpoint that was not trained in this experiment"


def _remarks(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield from (f"{row['evaluator']}: {note}" for note in row.get("details", {}).get("notes", ()))
