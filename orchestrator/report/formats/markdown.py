"""The report in GitHub's Markdown."""

import re
from collections.abc import Iterator, Sequence

from orchestrator.report.formats import text
from orchestrator.report.model import Cell, Report, Table

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK = re.compile(r"^(\d*)([-+=#.)])")
"""Characters that begin a heading, a list or a rule."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def document(report: Report, figures: str | None = None) -> str:
    """The whole report. `figures` is the relative path of the folder with the SVG files, if there is one."""
    return "\n".join([*_blocks(report, figures), ""])


def escaped(raw: str) -> str:
    """`raw` on one line, escaped so that nothing in it is markup, a link, a mention or the end of a cell."""
    line = " ".join(raw.split())
    line = _SPECIAL.sub(r"\\\1", re.sub(r"[&<>@]", lambda found: _ENTITIES[found[0]], line))
    line = _BLOCK.sub(r"\1\\\2", line)
    return re.sub(r"(?i)(www)\.", r"\1&#46;", re.sub(r"(?i)(https?|ftp):", r"\1&#58;", line))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> list[str]:
    """The lines of a table whose header and cells are Markdown. `numbers` aligns all columns but the first right."""
    ends = ["---", *(["---:" if numbers else "---"] * (len(header) - 1))]
    return ["| " + " | ".join(line) + " |" for line in (header, ends, *rows)]


def _blocks(report: Report, figures: str | None) -> Iterator[str]:
    yield f"# {escaped(report.title)}"
    yield ""
    for notice in report.notices:
        yield f"> **Note.** {escaped(notice)}"
        yield ""
    for experiment in report.experiments:
        yield from table(["", ""], [[escaped(name), escaped(fact)] for name, fact in text.described(experiment)])
        yield ""
    for each, (new, again) in zip(report.tables, text.numbered(report.tables), strict=True):
        yield from _table(each)
        yield from (f"* \\[{number}\\] {escaped(note)}" for number, note in new)
        if again:
            yield f"* Also note{'s' if len(again) > 1 else ''} {', '.join(map(str, again))}."
        yield ""
    for figure in report.figures:
        yield f"### Figure: {escaped(figure.caption)}"
        yield ""
        if figures is not None:
            yield f"![{escaped(figure.alt)}]({figures}/{figure.name}.svg)"
        else:
            yield escaped(figure.alt)
        yield ""
    yield from _provenance(report)


def _table(shown: Table) -> Iterator[str]:
    yield f"## {escaped(shown.caption)}"
    yield ""
    rows = [
        [escaped(label), *(_cell(cell, shown) for cell in cells)]
        for label, cells in zip(shown.rows, shown.cells, strict=True)
    ]
    yield from table(["", *map(escaped, shown.columns)], rows, numbers=True)
    yield ""
    yield from (f"* {escaped(line)}" for line in shown.reading)


def _cell(cell: Cell, shown: Table) -> str:
    value = f"**{text.value(cell)}**" if cell.best else text.value(cell)
    printed = text.published(cell)
    return "<br>".join([value, *text.asides(cell, shown), *([printed] if printed else [])])


def _provenance(report: Report) -> Iterator[str]:
    found = report.provenance
    yield "## Provenance"
    yield ""
    names, rows = text.own_settings(found.arms)
    yield "### Settings of each arm"
    yield ""
    yield from table(["arm", *map(escaped, names)], [[escaped(arm), *map(escaped, values)] for arm, values in rows])
    yield ""
    if common := text.common_settings(found.arms):
        yield "Common to all: " + escaped("; ".join(f"{name} {value}" for name, value in common)) + "."
        yield ""
    evaluated = [line for experiment in report.experiments for line in text.evaluations(experiment)]
    if evaluated:
        yield "### Evaluations"
        yield ""
        yield from table(["evaluator", "on", "settings"], [[escaped(each) for each in line] for line in evaluated])
        yield ""
    if shared := text.shared(found.generations):
        yield "### Shared work"
        yield ""
        yield from table(["trained as", "key", "shown in"], [[escaped(each) for each in line] for line in shared])
        yield ""
    if found.data:
        yield "### Data"
        yield ""
        yield from table(["data", "digest"], [[escaped(name), f"`{digest}`"] for name, digest in found.data.items()])
        yield ""
    if report.warnings:
        yield "### Warnings of training"
        yield ""
        yield from (f"* {escaped(warning)}" for warning in report.warnings)
        yield ""
    yield "### Versions"
    yield ""
    yield from (f"* evaluated on {escaped(machine)}" for machine in text.machines(found))
    yield f"* report made {report.made_at} by relearn {escaped(found.relearn)} on Python {escaped(found.python)}"
