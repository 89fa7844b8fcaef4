"""The layout of each table of a report, before its cells are filled.

An experiment has the tables that its spec asks for, else one for each evaluator. Tables of several experiments become
one table where their names and columns are equal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from evaluators import about
from orchestrator.report.first_generation import first_generation
from orchestrator.report.source import Source
from orchestrator.spec.tables import Axis, Cell, Published, ReportTable

_MANY = 3
"""A label names at most this many arms; of more, it names the first and counts the others."""


@dataclass(frozen=True)
class Line:
    """A row of a table: its label, the experiment it reads, what it fixes of each cell, and its published values."""

    label: str
    source: Source
    axis: Axis
    published: tuple[Published, ...] = ()

    def cell(self, column: Axis) -> Cell:
        """The cell of this row in `column` (see `ReportTable.cell`)."""
        pairs = ((getattr(self.axis, name), getattr(column, name)) for name in Cell._fields)
        return Cell(*(down if across is None else across for across, down in pairs))


@dataclass(frozen=True)
class Layout:
    """A table before its cells are filled. `compare` names what competes for the best score: rows or columns."""

    name: str
    caption: str
    compare: Literal["rows", "columns"]
    lines: tuple[Line, ...]
    columns: tuple[Axis, ...]
    notes: tuple[str, ...] = ()
    source: str | None = None


def layouts(sources: list[Source]) -> list[Layout]:
    """The tables of all experiments: those of their specs, then the default tables of experiments without any.

    Tables of different experiments are joined where their names, columns and `compare` are equal.
    """
    asked = [_of_spec(source, table) for source in sources for table in source.tables]
    groups: list[list[Layout]] = []
    for layout in asked:
        for group in groups:
            first = group[0]
            fits = (layout.name, layout.columns, layout.compare) == (first.name, first.columns, first.compare)
            if fits and all(layout.lines[0].source is not each.lines[0].source for each in group):
                group.append(layout)
                break
        else:
            groups.append([layout])
    return [_joined(group) for group in groups] + list(_default([source for source in sources if not source.tables]))


def _of_spec(source: Source, table: ReportTable) -> Layout:
    lines = tuple(
        Line(row.label, source, row, () if table.published is None else table.published[index])
        for index, row in enumerate(table.rows)
    )
    return Layout(
        name=table.name,
        caption=table.caption,
        compare=table.compare,
        lines=lines,
        columns=table.columns,
        notes=table.notes,
        source=table.source,
    )


def _joined(group: list[Layout]) -> Layout:
    first = group[0]
    notes = tuple(dict.fromkeys(note for each in group for note in each.notes))
    origins = " / ".join(dict.fromkeys(each.source for each in group if each.source is not None))
    lines = _qualified([line for each in group for line in each.lines])
    return replace(first, lines=tuple(lines), notes=notes, source=origins or None)


def _qualified(lines: list[Line]) -> list[Line]:
    """A copy of `lines` in which a label that several experiments use begins with `EXPERIMENT/`."""
    owners: dict[str, set[str]] = {}
    for line in lines:
        owners.setdefault(line.label, set()).add(line.source.id)
    clash = {label for label, ids in owners.items() if len(ids) > 1}
    return [replace(line, label=f"{line.source.label}/{line.label}") if line.label in clash else line for line in lines]


def _default(sources: list[Source]) -> Iterator[Layout]:
    """One table for each evaluator with results, over all `sources`."""
    evaluators = dict.fromkeys(name for source in sources for name in source.evaluators)
    for evaluator in evaluators:
        measured = [source for source in sources if evaluator in source.evaluators]
        if evaluator == "training" and all(map(_covered_by_accuracy, measured)):
            continue  # the accuracy of a generation's last epoch is that of its checkpoint
        columns = tuple(_columns(measured, evaluator))
        lines = _qualified([line for source in measured for line in _lines(source, evaluator, columns)])
        if lines and columns:
            yield Layout(
                name=evaluator,
                caption=f"{evaluator} after the last evaluated generation of each arm{_ends(lines)}",
                compare="rows",
                lines=tuple(lines),
                columns=columns,
            )


def _covered_by_accuracy(source: Source) -> bool:
    """Whether the evaluator `accuracy` too evaluates the last generation of every arm that is trained."""
    trained = [arm for arm in source.arms if source.evaluated_generations(arm, "training")]
    last = all(source.last_generation(arm) in source.evaluated_generations(arm, "accuracy") for arm in trained)
    return last and "accuracy" in source.evaluators


def _columns(sources: list[Source], evaluator: str) -> Iterator[Axis]:
    """A column for each data set and headline metric of `evaluator`.

    A column of an evaluator that does not transfer names no data set, because arms may be trained on different ones.
    """
    found: dict[tuple[str | None, str], None] = {}
    for source in sources:
        for dataset, metric in source.scores.get(evaluator, {}):
            if about(evaluator, metric).headline:
                found[dataset if source.transfers(evaluator) else None, metric] = None
    for target, metric in found:
        unit = about(evaluator, metric).label
        label = (metric if target is None else f"{target} {metric}") + (f" ({unit})" if unit else "")
        yield Axis.model_construct(
            label=label,
            arm=None,
            generation=None,
            evaluator=evaluator,
            dataset=target,
            metric=metric,
        )


def _lines(source: Source, evaluator: str, columns: Iterable[Axis]) -> Iterator[Line]:
    """Generation 0 once for all arms that share it, then each arm after its last evaluated generation.

    An arm whose last evaluated generation depends on the data set has a line for each such generation.
    """
    evaluated = {arm: source.evaluated_generations(arm, evaluator) for arm in source.arms}
    shared: dict[frozenset[str], list[str]] = {}
    for arm in source.arms:
        if (nodes := first_generation(source, arm, evaluator)) is not None:
            shared.setdefault(nodes, []).append(arm)
    for measured, arms in shared.items():
        if measured:
            of = f"generation 0 of {_named(arms)}"
            yield _line(source, "generation 0" if len(shared) == 1 else of, arms[0], 0)
    for arm, generations in evaluated.items():
        if generations:
            lasts = {max(source.evaluated_generations(arm, evaluator, column.dataset), default=0) for column in columns}
            for earlier in sorted(lasts - {0, generations[-1]}):
                yield _line(source, f"{arm}, generation {earlier}", arm, earlier)
            yield _line(source, arm, arm, generations[-1])


def _ends(lines: Iterable[Line]) -> str:
    """Which generation each row shows, such as ` (5: normal, llf; 2: short)`; empty where all show the same one."""
    ends: dict[int, list[str]] = {}
    for line in lines:
        if line.axis.generation and not line.label.endswith(f"generation {line.axis.generation}"):
            ends.setdefault(line.axis.generation, []).append(line.label)
    texts = (f"{generation}: {_named(labels)}" for generation, labels in ends.items())
    return f" ({'; '.join(texts)})" if len(ends) > 1 else ""


def _named(arms: list[str]) -> str:
    return ", ".join(arms) if len(arms) <= _MANY else f"{arms[0]} and {len(arms) - 1} more"


def _line(source: Source, label: str, arm: str, generation: int) -> Line:
    axis = Axis.model_construct(
        label=label,
        arm=arm,
        generation=generation,
        evaluator=None,
        dataset=None,
        metric=None,
    )
    return Line(label, source, axis)
