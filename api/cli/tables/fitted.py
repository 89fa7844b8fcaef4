"""A table that fits the width at which it is printed: what does not fit side by side is printed one below the other.

No line is wider than the console, and no value is cut: only text of several words is broken, and a single word only
where it is longer than a line.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from orchestrator.printable import printable

_GAP = "  "
_NARROWEST = 24
"""The cells that a column of text needs at least to stand beside others."""


@dataclass(frozen=True)
class Column:
    """A column: the lines of its heading, and how its values stand.

    Values of a column that `breaks`, which must be the last one, are text that may be broken over several lines.
    """

    heading: tuple[str, ...] = ()
    right: bool = False
    breaks: bool = False


@dataclass(frozen=True)
class Fitted:
    """A table that any console can print. It takes all text as it is, without markup.

    A line is the heading of the lines below it, or one value for each column. If the table is too wide, the first value
    of a line becomes the heading of the others, each of which has a line of its own with the heading of its column.
    """

    columns: tuple[Column, ...]
    lines: tuple[str | tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _Printer(self, console, options.max_width, "-" if options.ascii_only else "─")
        for line, style in table.printed():
            yield Text(line.rstrip(), style=style, no_wrap=True, overflow="ignore")


class _Printer:
    """Prints a table at one width, as lines with their style."""

    def __init__(self, table: Fitted, console: Console, width: int, rule: str) -> None:
        self._console, self._width, self._rule = console, max(width, 1), rule
        self._title, self._notes = _clean(table.title), [_clean(note) for note in table.notes]
        self._columns = table.columns
        self._headings = [tuple(map(_clean, column.heading)) for column in table.columns]
        self._lines = [
            _clean(line) if isinstance(line, str) else tuple(_clean(value) for value in line) for line in table.lines
        ]
        self._indent = _GAP if any(isinstance(line, str) for line in table.lines) else ""

    def printed(self) -> Iterator[tuple[str, str]]:
        yield from self._broken(self._title, style="italic")
        if self._title:
            yield "", ""
        widths = self._side_by_side()
        yield from self._stacked() if widths is None else self._as_table(widths)
        if self._notes:
            yield "", ""
        for note in self._notes:
            yield from self._broken(note)

    def _side_by_side(self) -> list[int] | None:
        """The width of each column where all fit beside each other; else None."""
        widths = [
            max((cell_len(each) for each in (*heading, *self._values(index))), default=0)
            for index, heading in enumerate(self._headings)
        ]
        rest = self._width - len(self._indent) - len(_GAP) * (len(widths) - 1) - sum(widths[:-1])
        if not widths or widths[-1] <= rest:
            return widths
        return [*widths[:-1], rest] if self._columns[-1].breaks and rest >= _NARROWEST else None

    def _as_table(self, widths: list[int]) -> Iterator[tuple[str, str]]:
        height = max(map(len, self._headings), default=0)
        for index in range(height):
            cells = [heading[index] if index < len(heading) else "" for heading in self._headings]
            yield self._joined(cells, widths), "bold"
        if height:
            yield self._rule * (len(self._indent) + sum(widths) + len(_GAP) * (len(widths) - 1)), ""
        for line in self._lines:
            if isinstance(line, str):
                yield from self._broken(line)
                continue
            *values, last = line
            parts = self._parts(last, widths[-1]) if self._columns[-1].breaks else [last]
            for index, part in enumerate(parts or [""]):
                yield self._joined([*(values if index == 0 else [""] * len(values)), part], widths), ""

    def _joined(self, cells: Iterable[str], widths: Iterable[int]) -> str:
        aligned = (
            " " * (width - cell_len(cell)) + cell if column.right else cell + " " * (width - cell_len(cell))
            for cell, width, column in zip(cells, widths, self._columns, strict=True)
        )
        return self._indent + _GAP.join(aligned)

    def _stacked(self) -> Iterator[tuple[str, str]]:
        names = [", ".join(heading) for heading in self._headings[1:]]
        indent = self._indent + _GAP
        longest = max(map(cell_len, names), default=0)
        fixed = [index for index, column in enumerate(self._columns) if index and not column.breaks]
        widest = max((cell_len(value) for index in fixed for value in self._values(index)), default=0)
        end = min(self._width, len(indent) + longest + len(_GAP) + widest)
        for line in self._lines:
            if isinstance(line, str):
                yield from self._broken(line)
                continue
            yield from self._broken(line[0], self._indent, "bold")
            for name, column, value in zip(names, self._columns[1:], line[1:], strict=True):
                for printed in self._item(name, value, column, indent, end, end - widest) if value else ():
                    yield printed, ""

    def _item(self, name: str, value: str, column: Column, indent: str, end: int, start: int) -> Iterator[str]:
        """One value with its name before it, or above it if both together are too wide."""
        if column.breaks:
            text = f"{name}: {value}" if name else value
            yield from (indent + part for part in self._parts(text, self._width - len(indent)))
            return
        at = end - cell_len(value) if column.right else start
        used = len(indent) + cell_len(name) + len(_GAP)
        if used <= at:
            yield indent + name + " " * (at - used + len(_GAP)) + value
            return
        yield from (indent + part for part in self._parts(name, self._width - len(indent)))
        if (at := min(at, self._width - cell_len(value))) >= 0:
            yield " " * at + value
        else:
            yield from self._parts(value, self._width)

    def _values(self, index: int) -> Iterator[str]:
        return (line[index] for line in self._lines if not isinstance(line, str))

    def _broken(self, text: str, indent: str = "", style: str = "") -> Iterator[tuple[str, str]]:
        for part in self._parts(text, self._width - len(indent)):
            yield indent + part, style

    def _parts(self, text: str, width: int) -> list[str]:
        """The lines of `text` at `width` cells, broken between words where possible."""
        return [part.plain.rstrip() for part in Text(text).wrap(self._console, max(width, 1))] if text else []


def _clean(text: str) -> str:
    """Returns `text` on one line, without what a terminal would obey."""
    return "".join(each for each in printable(" ".join(text.split())) if each.isprintable())
