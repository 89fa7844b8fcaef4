"""Each format of one report, and hostile names, which every format must show as text."""

import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator import report
from orchestrator.report.formats import FORMATS, files, latex, markdown
from orchestrator.report.formats.text import numbered
from orchestrator.report.model import Report
from orchestrator.store import Store
from tests.orchestrator.report.builders import realistic, row, scored

HOSTILE = '=HYPERLINK("http://x")</td><script>alert(1)</script>|**a**\\end{table}\n$x$ & % # _ ~ ^ [y](z) `w` é 语 🙂'
VALUES = {("normal", 0): 0.5, ("normal", 1): 0.52, ("seal", 0): 0.75, ("seal", 1): 0.78}
OTHER_DATA = {"name": "digits-noisy", "train_per_class": 5}
TABLE = {
    "name": "t",
    "caption": "Accuracies",
    "rows": [
        {"label": "plain", "arm": "normal"},
        {"label": "ours", "arm": "seal"},
        {"label": "early", "arm": "seal", "generation": 0},
    ],
    "columns": [{"label": "accuracy", "evaluator": "accuracy", "metric": "top1"}],
    "published": [[54.25], [[60.0, 0.5]], [None]],
    "source": "Table 2",
}


@pytest.fixture
def small_report(store: Store) -> Report:
    """A report of two arms and two seeds, whose third row was not measured."""
    return report.build(store, [row(store, scored(store, VALUES, tables=[TABLE]))])


@pytest.fixture
def hostile(store: Store) -> Report:
    """A report in which every text that a user chooses contains markup of all formats."""
    axes = {"rows": [{"label": HOSTILE[:100], "arm": arm} for arm in ("normal", "seal")]}
    axes["columns"] = [{"label": HOSTILE[-100:], "evaluator": "accuracy", "metric": "top1"}]
    table = (
        TABLE | axes | {"caption": HOSTILE, "notes": [HOSTILE], "source": HOSTILE[:100], "published": [[1.0], [None]]}
    )
    experiment = scored(store, VALUES, tables=[table], title=HOSTILE[:190], data=OTHER_DATA)
    built = report.build(store, [row(store, experiment)])
    return replace(built, notices=(HOSTILE,), warnings=(HOSTILE,))


class Reader(HTMLParser):
    """Collects the elements of a page, and the texts of its tables by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_html_has_the_table_with_its_marks(small_report: Report) -> None:
    found = Reader(FORMATS["html"].render(small_report))
    assert found.rows[:4] == [
        ["row", "accuracy"],
        ["plain", "51.00 ± 12.71published 54.25 (-3.25)"],
        ["ours", "76.50 ± 19.06 (best)published 60.00 ± 0.50 (+16.50)"],
        ["early", "–not measured"],
    ]
    assert {attributes["scope"] for attributes in found.named("th")} == {"row", "col"}
    assert len(found.named("caption")) == len(found.named("table"))
    assert {"aria-hidden": "true"} in found.named("span")  # a screen reader skips the dash and reads the words


def test_html_needs_nothing_but_itself(store: Store) -> None:
    page = FORMATS["html"].render(report.build(store, [row(store, realistic(store))]))
    found = Reader(page)
    assert not found.named("script")
    assert not found.named("link")
    assert all(
        str(image["src"]).startswith("data:image/svg+xml;base64,") and image["alt"] for image in found.named("img")
    )
    assert all(str(link["href"]).startswith("#") for link in found.named("a"))
    assert "url(" not in page
    assert "@import" not in page
    assert found.named("html") == [{"lang": "en"}]
    headings = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))


def test_hostile_names_are_text_in_html(hostile: Report, small_report: Report) -> None:
    found, plain = (Reader(FORMATS["html"].render(each)) for each in (hostile, small_report))
    assert not found.named("script")
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in plain.tags}
    assert found.rows[1][0] == HOSTILE[:100]


def test_markdown_has_the_table_with_its_marks(small_report: Report) -> None:
    lines = FORMATS["markdown"].render(small_report).splitlines()
    at = lines.index("## Accuracies")
    assert lines[at + 2 : at + 7] == [
        "|  | accuracy |",
        "| --- | ---: |",
        "| plain | 51.00 ± 12.71<br>54.25 (-3.25) |",
        "| ours | **76.50 ± 19.06**<br>60.00 ± 0.50 (+16.50) |",
        "| early | – |",
    ]


def test_hostile_names_are_text_in_markdown(hostile: Report) -> None:
    """Every line of the table has two cells without markup."""
    lines = FORMATS["markdown"].render(hostile).splitlines()
    assert "<script" not in "\n".join(lines)
    table = [line for line in lines if line.startswith(r"| \=HYPERLINK")]
    assert len(table) == 2
    for line in table:
        assert len(re.findall(r"(?<!\\)\|", line)) == 3
        first = line.split(" | ")[0]
        assert not re.search(r"(?<!\\)[*_`\[$]", first)


def test_markdown_text_starts_no_block() -> None:
    starts = ("# a", "- a", "+ a", "1. a", "2) a", "=== a", "> a", "http://a")
    assert [markdown.escaped(each) for each in starts] == [
        r"\# a", r"\- a", r"\+ a", r"1\. a", r"2\) a", r"\=== a", "&gt; a", "http&#58;//a",
    ]  # fmt: skip


def test_markdown_text_mentions_nobody_and_links_nowhere() -> None:
    assert markdown.escaped("by @someone, WWW.example.org") == "by &#64;someone, WWW&#46;example.org"


def test_latex_has_the_table_with_its_marks(small_report: Report) -> None:
    text = FORMATS["latex"].render(small_report)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    assert body == [
        r"\toprule",
        r" & accuracy \\",
        r"\midrule",
        r"plain & 51.00 $\pm$ 12.71 \\",
        r"{\footnotesize\quad published} & {\footnotesize 54.25 (-3.25)} \\",
        r"ours & \textbf{\boldmath 76.50 $\pm$ 19.06} \\",
        r"{\footnotesize\quad published} & {\footnotesize 60.00 $\pm$ 0.50 (+16.50)} \\",
        r"early & -- \\",
    ]


def test_latex_escapes_every_special_character() -> None:
    assert latex.escaped("50% & $x_1^2$ #1 ~{a}\\b") == (
        r"50\% \& \$x\_1\textasciicircum{}2\$ \#1 \textasciitilde{}\{a\}\textbackslash{}b"
    )
    assert latex.escaped("a\n\nb\x00 é 语 ½ --[*") == "a b? é ? 1?2 -{}-{[}{*}"


def test_hostile_names_leave_latex_balanced(hostile: Report) -> None:
    text = FORMATS["latex"].render(hostile)
    begun, ended = (re.findall(rf"\\{word}{{([a-z]+)}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    bare = re.sub(r"\\[{}\\]", "", text)
    assert bare.count("{") == bare.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
def test_latex_compiles(hostile: Report, small_report: Report, tmp_path: Path) -> None:
    for name, each in (("small", small_report), ("hostile", hostile)):
        (tmp_path / f"{name}.tex").write_text(FORMATS["latex"].render(each))
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", f"{name}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]


def test_csv_has_a_line_for_each_cell(small_report: Report) -> None:
    found = list(csv.DictReader(io.StringIO(FORMATS["csv"].render(small_report))))
    assert [(line["row"], line["value"], line["seeds"], line["best"]) for line in found] == [
        ("plain", "51.0", "2", "0"),
        ("ours", "76.5", "2", "1"),
        ("early", "", "0", "0"),
    ]
    assert (found[0]["published"], found[0]["difference"], found[0]["unit"]) == ("54.25", "-3.25", "percent")


def test_no_text_is_a_formula_in_csv(hostile: Report) -> None:
    found = list(csv.reader(io.StringIO(FORMATS["csv"].render(hostile))))
    assert len(found) == 3
    texts = [cell for line in found for cell in line if cell]
    formulas = [cell for cell in texts if cell[0] in "=+-@\t\r" and not re.fullmatch(r"-?[\d.e-]+", cell)]
    assert formulas == []
    assert found[1][1] == f"'{HOSTILE[:100]}"


def test_json_is_the_whole_report(small_report: Report) -> None:
    found = json.loads(FORMATS["json"].render(small_report))
    assert found["schema"] == "relearn.report/1"
    assert list(found) == [
        "title", "made_at", "notices", "experiments", "tables", "figures", "warnings", "provenance", "schema",
    ]  # fmt: skip
    cell = found["tables"][0]["cells"][1][0]
    assert (cell["value"], cell["best"], cell["n"], cell["seeds"][1]["value"]) == (76.5, True, 2, 78.0)
    assert re.fullmatch("[0-9a-f]{64}", cell["seeds"][0]["node"])
    assert cell["seeds"][0]["made_by"].endswith("/seal/seed0/g1/accuracy/digits-noisy")


def test_what_is_kept_of_a_report_fits_together(store: Store) -> None:
    kept = files(report.build(store, [row(store, realistic(store))]))
    drawn = {name for name in kept if name.startswith("figures/")}
    assert set(re.findall(r"\]\((figures/[a-z-]+\.svg)\)", kept["report.md"])) == drawn
    assert len(drawn) == 5
    assert all(ET.fromstring(kept[name]) is not None for name in drawn)
    assert {figure["name"] for figure in json.loads(kept["report.json"])["figures"]} == {
        Path(name).stem for name in drawn
    }


def test_a_note_is_printed_once_and_then_cited_by_its_number(store: Store) -> None:
    first = TABLE | {"name": "first", "notes": ["of the first", "of both `x`"]}
    second = TABLE | {"name": "second", "notes": ["of both `x`", "of the second"]}
    built = report.build(store, [row(store, scored(store, VALUES, tables=[first, second]))])
    (new, again), (later, named) = numbered(built.tables)
    assert [note for _, note in new[:2]] == ["of the first", "of both `x`"]
    assert (later, named) == ([(len(new) + 1, "of the second")], [2, *range(3, len(new) + 1)])
    assert again == []
    page, lines = FORMATS["html"].render(built), FORMATS["markdown"].render(built).splitlines()
    assert page.count("of both <code>x</code>") == 1
    assert f"* Also notes {', '.join(map(str, named))}." in lines
    assert rf"* \[{len(new) + 1}\] of the second" in lines
