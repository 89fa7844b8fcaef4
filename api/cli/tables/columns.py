"""The columns of a table of results: every arm after its own last evaluated generation, and generation 0."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from api.cli.tables.scores import Row, Score
from api.cli.wording import of_last

_NAMED = 30
"""A heading names arms of at most this many characters together; of more, it names the first and counts the others."""

_Nodes = dict[tuple[int, str, str, str], set[object]]
"""The nodes that measured an arm, by seed, evaluator, data set and metric."""


@dataclass(frozen=True)
class End:
    """The last evaluated generation of an arm, and how many generations it has; None if that is not known."""

    generation: int
    generations: int | None
    checkpoint: bool

    @property
    def text(self) -> str:
        return f"generation {of_last(self.generation, self.generations)}"


@dataclass(frozen=True)
class Shown:
    """A column: an arm after its last evaluated generation, or, if `first`, generation 0 of `arms`, which share it."""

    arms: tuple[str, ...]
    generation: int
    first: bool = False

    def rows(self, score: Score) -> tuple[int, list[Row]]:
        """The generation and the rows that the column shows of `score`: the last that the arm has. None may exist."""
        for arm in self.arms:
            found = score.rows.get(arm, {})
            generation = 0 if self.first else max(found, default=0)
            if generation in found:
                return generation, found[generation]
        return self.generation, []


def ends_of(rows: Iterable[Row]) -> dict[str, End]:
    """The last evaluated generation of each arm, or, where nothing was evaluated, the last that was trained.

    Every generation has rows of its training, so they say nothing about where an arm was evaluated.
    """
    of_arms: dict[str, list[Row]] = {}
    for row in rows:
        of_arms.setdefault(row["arm"], []).append(row)
    return {arm: _end(found) for arm, found in of_arms.items()}


def starts_of(rows: Iterable[Row], ends: dict[str, End]) -> list[tuple[str, ...]]:
    """The arms with later generations whose generation 0 was measured, grouped by whether it is the same network.

    It is the same where every measurement that two arms have in common, of which there must be one, was made at the
    same node. Rows of a server that names no nodes are compared by value.
    """
    measured: dict[str, _Nodes] = {}
    for row in rows:
        if row["generation"] == 0 and ends[row["arm"]].generation > 0:
            place = row["seed"], row["evaluator"], row["dataset"], row["metric"]
            of_arm = measured.setdefault(row["arm"], {})
            of_arm.setdefault(place, set()).add(row.get("node", row["value"]))
    groups: list[tuple[list[str], _Nodes]] = []
    for arm, own in measured.items():
        for arms, known in groups:
            common = own.keys() & known.keys()
            if common and all(own[place] & known[place] for place in common):
                arms.append(arm)
                known.update(own)
                break
        else:
            groups.append(([arm], dict(own)))
    return [tuple(arms) for arms, _ in groups]


def columns_of(ends: dict[str, End], starts: list[tuple[str, ...]]) -> Iterator[Shown]:
    """Yields generation 0 for the arms that share it, and each arm, after a generation 0 that only it has."""
    alone = [arms[0] for arms in starts if len(arms) == 1]
    yield from (Shown(arms, 0, first=True) for arms in starts if len(arms) > 1)
    for arm, end in ends.items():
        if arm in alone:
            yield Shown((arm,), 0, first=True)
        yield Shown((arm,), end.generation)


def heading_of(column: Shown, ends: dict[str, End]) -> tuple[str, ...]:
    """The lines of a column's heading. Where all arms end alike, the title of the table says where."""
    if not column.first:
        (arm,) = column.arms
        return (arm,) if same_end(ends) else (arm, ends[arm].text)
    if len(column.arms) == len(ends):
        return ("generation 0",)
    return "generation 0", f"of {named(column.arms)}"


def same_end(ends: dict[str, End]) -> End | None:
    """The end of all arms, or None if arms end differently."""
    alike = set(ends.values())
    return alike.pop() if len(alike) == 1 else None


def named(arms: tuple[str, ...]) -> str:
    """The names of `arms`, or that of the first with the number of the others."""
    every = ", ".join(arms)
    return every if len(arms) == 1 or len(every) <= _NAMED else f"{arms[0]} and {len(arms) - 1} more"


def _end(rows: list[Row]) -> End:
    generation = max(row["generation"] for row in [row for row in rows if row["evaluator"] != "training"] or rows)
    known = "generations" in rows[0]
    total = rows[0].get("generations")
    return End(generation, total, checkpoint=known and total is None)
