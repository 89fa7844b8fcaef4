"""The tables of the catalogue and of a method's check."""

from typing import Any

from api.cli.tables import catalogue_table, findings_table
from tests.api.cli.tables.builders import cells, printed

ENTRY: dict[str, Any] = {
    "name": "own",
    "package": "mine",
    "version": "1.0",
    "description": "What it\ndoes.\n\nAnd how.",
}
ITEMS = [ENTRY | {"checked": True, "problem": None}, ENTRY | {"checked": False, "problem": "it [never] passed"}]


def test_a_problem_is_shown_in_place_of_the_description() -> None:
    assert cells(catalogue_table(ITEMS), 100) == [
        ["name", "package", "usable"],
        ["own", "mine", "1.0", "yes", "What", "it", "does."],
        ["own", "mine", "1.0", "no", "it", "[never]", "passed"],
    ]


def test_names_are_whole_where_there_is_no_room_beside_them() -> None:
    long = [item | {"name": "a-method-with-a-long-name", "package": "its-package"} for item in ITEMS]
    lines = printed(catalogue_table(long), 40)
    assert [line.split() for line in lines[:4]] == [
        ["a-method-with-a-long-name"],
        ["package", "its-package", "1.0"],
        ["usable", "yes"],
        ["What", "it", "does."],
    ]


def test_findings_are_shown_with_their_outcome() -> None:
    findings = [
        {"name": "it trains", "passed": True, "detail": "loss 0.3 [a]"},
        {"name": "it resumes", "passed": False, "detail": "other bits"},
    ]
    assert printed(findings_table(findings), 60) == [
        "passed  it trains   loss 0.3 [a]",
        "failed  it resumes  other bits",
    ]
