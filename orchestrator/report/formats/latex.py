"""The tables of the report as a LaTeX document. Another document needs booktabs and graphicx to include one of them."""

import re
import unicodedata
from collections.abc import Iterator

from orchestrator.report.formats import text
from orchestrator.report.model import Cell, Report, Table

WIDE = 7
"""A table with at least this many columns is scaled to the width of the text."""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"{\textquotesingle}",
    "`": r"\textasciigrave{}",
    "*": "{*}",
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
    "–": "--",
}


def document(report: Report) -> str:
    """A document with all tables and their notes."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{textcomp}",
        r"\usepackage{booktabs}",
        r"\usepackage{graphicx}",
        r"\begin{document}",
        rf"\section*{{{escaped(report.title)}}}",
        *(rf"\noindent\textbf{{{escaped(notice)}}}\par" for notice in report.notices),
    ]
    for index, shown in enumerate(report.tables):
        lines += ["", *_table(shown, index)]
    return "\n".join([*lines, r"\end{document}", ""])


def escaped(raw: str) -> str:
    """`raw` on one line, with the special characters of LaTeX escaped.

    T1 fonts need not have characters beyond Latin-1: those are replaced by their nearest letter, or by `?`.
    """
    line = "".join(_SPECIAL.get(character) or _latin(character) for character in " ".join(raw.split()))
    return re.sub("-(?=-)", "-{}", line) if "--" in raw else line


def _latin(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else "?"
    if unicodedata.category(character).startswith("L") and ord(character) < 256 and character not in "ªº":
        return character
    letters = (each for each in unicodedata.normalize("NFKD", character) if not unicodedata.combining(each))
    return "".join(_SPECIAL.get(each, each) if each.isascii() and each.isprintable() else "?" for each in letters)


def _table(shown: Table, index: int) -> Iterator[str]:
    wide = len(shown.columns) >= WIDE
    yield r"\begin{table}[htbp]"
    yield r"\centering"
    yield rf"\caption{{{escaped(shown.caption)}}}"
    yield rf"\label{{tab:relearn{index}}}"
    if wide:
        yield r"\resizebox{\textwidth}{!}{%"
    yield rf"\begin{{tabular}}{{l{'r' * len(shown.columns)}}}"
    yield r"\toprule"
    yield " & ".join(["", *map(escaped, shown.columns)]) + r" \\"
    yield r"\midrule"
    for label, cells in zip(shown.rows, shown.cells, strict=True):
        yield " & ".join([escaped(label), *(_cell(cell, shown) for cell in cells)]) + r" \\"
        if any(cell.published is not None for cell in cells):
            printed = (
                rf"{{\footnotesize {escaped(found)}}}" if (found := text.published(cell)) else "" for cell in cells
            )
            yield " & ".join([r"{\footnotesize\quad published}", *printed]) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}%" if wide else r"\end{tabular}"
    if wide:
        yield "}"
    yield r"\par\smallskip"
    yield r"\begin{minipage}{\textwidth}\footnotesize\raggedright"
    yield from (rf"{escaped(note)}\par" for note in (*shown.reading, *shown.footnotes))
    yield r"\end{minipage}"
    yield r"\end{table}"


def _cell(cell: Cell, shown: Table) -> str:
    value = escaped(text.value(cell))
    if cell.value is not None and cell.value < 0:
        value = value.replace("-", "$-$", 1)
    if cell.best:
        value = rf"\textbf{{\boldmath {value}}}"
    asides = ", ".join(text.asides(cell, shown))
    return f"{value} ({escaped(asides)})" if asides else value
