"""Numbers and facts as text, in one wording for HTML, Markdown and LaTeX."""

from collections.abc import Iterable
from typing import Any

from orchestrator.numbers import decimals, number, with_half
from orchestrator.report.model import ArmSettings, Cell, Experiment, Generation, Provenance, Table

DASH = "–"


def value(cell: Cell) -> str:
    """The value of a cell with half the width of its interval, such as `94.12 ± 0.83`; a dash where there is none.

    The interval is over seeds. With one seed it is over the episodes of a few-shot score, and other scores have none.
    """
    if cell.value is None:
        return DASH
    half = cell.episodes_half if cell.high is None else cell.high - cell.value
    return with_half(cell.value, half, cell.unit == "percent")


def episodes(cell: Cell) -> str:
    """Half of our interval over episodes, beside a printed one, such as `episodes ± 0.81`; empty where not both are.

    It is the mean over the seeds. With one seed it stands behind the value itself.
    """
    if cell.episodes_half is None or cell.high is None or cell.published_half is None:
        return ""
    return f"episodes ± {number(cell.episodes_half, decimals(cell.episodes_half, cell.unit == 'percent'))}"


def asides(cell: Cell, table: Table) -> list[str]:
    """What stands below a value: its number of seeds where it is not that of most cells, and `episodes`."""
    seeds = f"n = {cell.n}" if cell.value is not None and cell.n != table.seeds else ""
    return [each for each in (seeds, episodes(cell)) if each]


def published(cell: Cell) -> str:
    """The published value, and ours minus it, such as `54.37 (+0.03)`; empty where none was published."""
    if cell.published is None:
        return ""
    percent = cell.unit == "percent"
    shown = with_half(cell.published, cell.published_half, percent)
    digits = decimals(cell.published, percent)
    return shown if cell.difference is None else f"{shown} ({cell.difference:+.{digits}f})"


def numbered(tables: Iterable[Table]) -> list[tuple[list[tuple[int, str]], list[int]]]:
    """For each table its new footnotes with their numbers, and the numbers of its footnotes that an earlier table has.

    Footnotes are numbered from 1 through the whole report.
    """
    numbers: dict[str, int] = {}
    found = []
    for table in tables:
        new = [note for note in table.footnotes if note not in numbers]
        again = [numbers[note] for note in table.footnotes if note in numbers]
        numbers |= {note: len(numbers) + index for index, note in enumerate(new, 1)}
        found.append(([(numbers[note], note) for note in new], again))
    return found


def described(experiment: Experiment) -> list[tuple[str, str]]:
    """The facts about an experiment as pairs (name, value), without those that are empty."""
    counts = [
        f"{each['unique']} {kind}s ({each['requested']} requested, {each.get('cached', 0)} done before)"
        for kind, each in experiment.plan.items()
    ]
    facts = [
        ("experiment", experiment.id),
        ("name", experiment.name),
        ("preset", experiment.preset),
        ("state", f"{experiment.state}{f' ({experiment.reason})' if experiment.reason else ''}"),
        ("created", experiment.created_at),
        ("finished", experiment.finished_at),
        ("seeds", ", ".join(map(str, experiment.seeds))),
        ("plan", "; ".join(counts)),
    ]
    return [(name, fact) for name, fact in facts if fact]


def setting(found: Any) -> str:
    """The value of a setting as text."""
    match found:
        case None:
            return DASH
        case bool():
            return "yes" if found else "no"
        case float():
            return f"{found:g}"
        case list() | tuple():
            return ", ".join(setting(each) for each in found) or DASH
        case _:
            return str(found)


def common_settings(arms: Iterable[ArmSettings]) -> list[tuple[str, str]]:
    """The settings that are equal in all arms, as pairs (name, value)."""
    arms = list(arms)
    first = arms[0].settings
    return [(name, setting(first[name])) for name in first if _alike(name, arms)]


def own_settings(arms: Iterable[ArmSettings]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The names of the settings that differ between arms, and each arm's values; a setting that it lacks is a dash."""
    arms = list(arms)
    names = [name for name in dict.fromkeys(name for arm in arms for name in arm.settings) if not _alike(name, arms)]
    several = len({arm.experiment for arm in arms}) > 1
    rows = [
        (f"{arm.experiment}/{arm.arm}" if several else arm.arm, [setting(arm.settings.get(name)) for name in names])
        for arm in arms
    ]
    return names, rows


def evaluations(experiment: Experiment) -> list[tuple[str, str, str]]:
    """Each evaluation as its evaluator, the generations that it evaluates, and its settings."""
    rows = []
    for each in experiment.evaluations:
        settings = [
            f"{name} {setting(found)}"
            for name, found in each["evaluator"].items()
            if name != "name" and found is not None
        ]
        arms = f" of {', '.join(each['arms'])}" if each.get("arms") else ""
        rows.append((str(each["evaluator"]["name"]), ", ".join(map(str, each["on"])) + arms, "; ".join(settings)))
    return rows


def shared(generations: Iterable[Generation]) -> list[tuple[str, str, str]]:
    """Each generation that was made for another row, as its maker, the start of its key, and the rows that show it."""
    rows: dict[str, tuple[str, list[str]]] = {}
    for each in generations:
        if each.shared:
            rows.setdefault(each.node, (each.made_by or "", []))[1].append(f"{each.experiment}/{each.arm}")
    return [(by, key[:12], ", ".join(dict.fromkeys(shown))) for key, (by, shown) in rows.items()]


def machines(provenance: Provenance) -> list[str]:
    """One line for each machine that evaluated."""
    return [
        ", ".join(f"{name} {setting(found)}" for name, found in each.items() if found not in ("", None))
        for each in provenance.machines
    ]


def _alike(name: str, arms: list[ArmSettings]) -> bool:
    return all(name in arm.settings and arm.settings[name] == arms[0].settings[name] for arm in arms)
