"""The tables of methods and evaluators, and of the findings of `relearn check-method`."""

from typing import Any

from api.cli.tables.fitted import Column, Fitted


def catalogue_table(items: list[dict[str, Any]]) -> Fitted:
    """Returns a line for each method or evaluator: the start of its description, or why it cannot be used."""
    columns = (Column(("name",)), Column(("package",)), Column(("usable",)), Column(breaks=True))
    lines = tuple(
        (
            item["name"],
            f"{item['package']} {item['version']}",
            "yes" if item["checked"] else "no",
            item["problem"] or item["description"].split("\n\n")[0],
        )
        for item in items
    )
    return Fitted(columns, lines)


def findings_table(findings: list[dict[str, Any]]) -> Fitted:
    """Returns a line for each question of `relearn check-method`."""
    lines = tuple(
        ("passed" if finding["passed"] else "failed", finding["name"], finding["detail"]) for finding in findings
    )
    return Fitted((Column(), Column(), Column(breaks=True)), lines)
