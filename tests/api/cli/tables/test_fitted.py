"""A table that fits any width, and cuts no value."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from api.cli.tables import Column, Fitted
from tests.api.cli.tables.builders import printed

COLUMNS = (Column(), Column(("normal", "generation 2 of 2"), right=True), Column(("seal",), right=True))
TABLE = Fitted(
    columns=COLUMNS,
    lines=("accuracy digits", ("top1 %", "81.62 ± 1.04", "64.69 ± 1.63"), ("loss", "1.25", "")),
    title="After generation 2",
    notes=("a note",),
)


def test_what_fits_stands_side_by_side() -> None:
    assert printed(TABLE, 50) == [
        "After generation 2",
        "                     normal          seal",
        "          generation 2 of 2",
        "accuracy digits",
        "  top1 %       81.62 ± 1.04  64.69 ± 1.63",
        "  loss                 1.25",
        "a note",
    ]
    assert printed(TABLE, 41) == printed(TABLE, 200)


def test_what_does_not_fit_stands_one_below_the_other() -> None:
    assert printed(TABLE, 40) == [
        "After generation 2",
        "accuracy digits",
        "  top1 %",
        "    normal, generation 2 of 2",
        "                            81.62 ± 1.04",
        "    seal                    64.69 ± 1.63",
        "  loss",
        "    normal, generation 2 of 2       1.25",
        "a note",
    ]


def test_text_is_broken_between_words_and_stands_beside_what_is_not() -> None:
    table = Fitted((Column(("name",)), Column(breaks=True)), (("llf", "what it does, and how it does it"),))
    assert printed(table, 33) == ["name", "llf   what it does, and how it", "      does it"]
    assert printed(table, 20) == ["llf", "  what it does, and", "  how it does it"]


def test_a_word_longer_than_a_line_goes_on_in_the_next_one() -> None:
    address = "https://example.org/" + "a" * 50
    lines = printed(Fitted((Column(("name",)), Column(breaks=True)), (("llf", address),), notes=(address,)), 28)
    assert "".join(line.strip() for line in lines[1:]) == 2 * address
    assert all(len(line) <= 28 for line in lines)


@pytest.mark.parametrize("hostile", ["[red]", ":cat:", "[/old]", "[link=x]y[/link]", "\\[a]"])
def test_text_of_users_is_no_markup(hostile: str) -> None:
    table = Fitted((Column((hostile,)), Column()), (hostile, (hostile, hostile)), hostile, (hostile,))
    assert [line.strip() for line in printed(table)] == [*[hostile] * 3, f"{hostile}  {hostile}", hostile]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printed(Fitted((), (), title="a\x1b[31m\nb\tc\rd")) == ["a b c d"]


def test_a_console_without_unicode_has_a_plain_rule() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=file, width=20).print(Fitted((Column(("name",)),), (("llf",),)))
    file.seek(0)
    assert file.read().split() == ["name", "----", "llf"]


NAMES = st.text(alphabet="abcdefgh-_ 中é", min_size=1, max_size=70)
NUMBERS = st.integers(-(10**9), 10**9).map(lambda number: f"{number / 100:.2f}")


@settings(deadline=None)
@given(st.data(), st.integers(40, 200), st.integers(1, 40))
def test_every_number_is_whole_and_no_line_is_wider_than_the_console(
    data: st.DataObject, width: int, arms: int
) -> None:
    """Numbers of arms with any names, and in the names of scores and notes, at any width."""
    headings = [tuple(data.draw(st.lists(NAMES, min_size=1, max_size=2))) for _ in range(arms)]
    label, heading, title = (data.draw(NAMES) for _ in range(3))
    values = [(f"{label} @{line}", *(data.draw(NUMBERS) for _ in range(arms))) for line in range(3)]
    table = Fitted(
        columns=(Column(), *(Column(each, right=True) for each in headings)),
        lines=(heading, *values),
        title=title,
        notes=("a note with 123456.789",),
    )
    lines = printed(table, width)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    for number in {cell for _, *cells in values for cell in cells} | {"@0", "@1", "@2", "123456.789"}:
        assert number in words
