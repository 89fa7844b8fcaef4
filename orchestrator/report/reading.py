"""Sentences on how to read a table: what its numbers are, what stands behind ±, over what and how many."""

from collections.abc import Iterable, Iterator

from orchestrator.report.layouts import Layout
from orchestrator.report.model import Cell


def sentences(cells: Iterable[Iterable[Cell]], seeds: int, apart: int, layout: Layout) -> Iterator[str]:
    """Yields the sentences of a table whose cells have `seeds` seeds, unless a cell says otherwise.

    `apart` is the number of columns (or rows, see `Layout.compare`) whose scores cannot be compared.
    """
    every = [cell for row in cells for cell in row]
    measured = [cell for cell in every if cell.value is not None]
    if how := list(_how(every, measured, seeds)):
        text = "; ".join(how)
        yield f"{text[0].upper()}{text[1:]}."
    yield from _episodes(measured)
    if counts := list(dict.fromkeys(_counts(measured))):
        yield f"The score of one network is over: {'; '.join(counts)}."
    if best := {cell.n for cell in measured if cell.best}:
        paired_by = " or ".join(dict.fromkeys("seed by seed" if n > 1 else "episode by episode" for n in sorted(best)))
        among = "column" if layout.compare == "rows" else "row"
        yield (
            f"Bold: best of its {among}; the 95 % interval of the difference to every other, paired {paired_by}, "
            "excludes zero (not corrected for the number of comparisons)."
            + (" Two seeds are few: it may be chance." if 2 in best else "")
        )
    if apart:
        yield "Nothing is marked among scores that were evaluated under different settings or on different data."
    if any(line.published for line in layout.lines):
        yield f"Below each value: the value printed in {layout.source or 'the source'}, and ours minus the printed one."


def _how(every: list[Cell], measured: list[Cell], seeds: int) -> Iterator[str]:
    if seeds > 1:
        yield f"mean over {seeds} seeds ± half the width of its 95 % t interval"
    elif seeds == 1 and any(cell.n > 1 for cell in measured):
        yield (
            "one seed, without an interval over seeds, where no n is given; "
            "else mean over n seeds ± half its 95 % t interval"
        )
    elif seeds == 1:
        yield "one seed: no interval over seeds is shown"
    if any(cell.unit == "percent" for cell in every):
        yield "shares in percent"
    if len(measured) < len(every):
        yield "–: not measured"


def _episodes(measured: list[Cell]) -> Iterator[str]:
    """Sentences on intervals over the episodes of few-shot scores, behind the ± of one seed or beside a printed ±."""
    shown = [cell for cell in measured if cell.episodes_half is not None]
    if alone := [cell for cell in shown if cell.n == 1]:
        yield f"± of one seed: half the width of the 95 % interval over {_numbers(alone)} episodes, not over seeds."
    if beside := [cell for cell in shown if cell.n > 1 and cell.published_half is not None]:
        yield (
            f"Episodes ±: half the width of the 95 % interval over the {_numbers(beside)} episodes of one network, "
            "averaged over the seeds, as the printed ± of a single network."
        )


def _counts(measured: list[Cell]) -> Iterator[str]:
    """What each score averages, such as `accuracy on digits-noisy 896 images`."""
    by_score: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in measured:
        by_score.setdefault((cell.evaluator, cell.dataset, cell.score_n_of), []).append(cell)
    for (evaluator, dataset, what), cells in by_score.items():
        if numbers := _numbers(cells):
            yield f"{evaluator} on {dataset} " + (f"{numbers} {what}" if what else f"n = {numbers}")


def _numbers(cells: list[Cell]) -> str:
    """The numbers that the scores average, such as `896` or `448 to 896`; empty where none is known."""
    counts = sorted({each.n for cell in cells for each in cell.seeds if each.n is not None})
    ends = dict.fromkeys(f"{count:,}" for count in (*counts[:1], *counts[-1:]))
    return " to ".join(ends)
