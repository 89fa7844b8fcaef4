"""The report as data: what every format prints, and the JSON format itself (docs/report.md names its fields).

Values are in the unit of their cell: percent for shares, else as they are. Times are RFC 3339 in UTC.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = "relearn.report/1"
Unit = Literal["percent", "plain"]


@dataclass(frozen=True)
class SeedScore:
    """The score of one seed. Its interval is over what it averages (`n` test images, episodes or batches)."""

    seed: int
    value: float
    low: float | None
    high: float | None
    n: int | None
    node: str
    made_by: str | None


@dataclass(frozen=True)
class Cell:
    """A place of a table: mean over `n` seeds and its 95 % t interval; `value` is None where nothing was measured yet.

    `best` is set only where the paired difference to every competitor has an interval, of some width, that excludes zero.
    `difference` is ours minus what was published, in the cell's unit.
    """

    row: str
    column: str
    experiment: str
    arm: str
    generation: int
    evaluator: str
    dataset: str
    metric: str
    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    best: bool = False
    published: float | None = None
    published_half: float | None = None
    difference: float | None = None
    seeds: tuple[SeedScore, ...] = ()


@dataclass(frozen=True)
class Table:
    """`cells` are as many rows of as many cells as `rows` and `columns` have labels."""

    name: str
    caption: str
    compare: Literal["rows", "columns"]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    seeds: int
    """The number of seeds most cells have; a cell with another number says so."""
    reading: tuple[str, ...]
    """How its cells are to be read."""
    footnotes: tuple[str, ...]
    """What to know before trusting them."""
    source: str | None = None
    """Where the published values are from."""

    @property
    def published(self) -> bool:
        return any(cell.published is not None for row in self.cells for cell in row)


@dataclass(frozen=True)
class Series:
    """A line of a figure, with a band where `low` and `high` are given; None is a gap."""

    label: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] | None = None
    high: tuple[float | None, ...] | None = None
    baseline: bool = False
    """What the others start from, drawn in grey."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes. With `ticks`, x counts them from 0."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    ticks: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    """Of y, where they are not left to the values."""
    log_y: bool = False
    step: bool = False
    """Steps as of a histogram, without markers."""
    ordered: bool = False
    """The series follow one another, as generations do."""
    shaded: tuple[tuple[float, float], ...] = ()
    starts: tuple[float, ...] = ()
    """Where a thin line stands, as at a generation's start."""


@dataclass(frozen=True)
class Figure:
    """`alt` says what is to be seen, in numbers."""

    name: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Experiment:
    """What a report says of an experiment as a whole. `plan` counts what was asked for, differs, and was done before."""

    id: str
    name: str
    label: str
    """As rows call it: the name, or the id where two have one name."""
    title: str | None
    preset: str | None
    state: str
    reason: str | None
    message: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    seeds: tuple[int, ...]
    plan: dict[str, dict[str, int]]
    evaluations: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class ArmSettings:
    """The resolved settings of an arm, flat (`train.lr`)."""

    experiment: str
    arm: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Generation:
    """A trained (or brought in) network: where it stands in the experiment and who made it."""

    experiment: str
    arm: str
    seed: int
    generation: int
    node: str
    state: str
    cached: bool
    made_by: str | None
    shared: bool
    """Whether it was made for another row or experiment than this one."""


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from. `machines` are the distinct fingerprints of what judged, `data` maps text to digest."""

    relearn: str
    python: str
    machines: tuple[dict[str, Any], ...]
    data: dict[str, str]
    arms: tuple[ArmSettings, ...]
    generations: tuple[Generation, ...]


@dataclass(frozen=True)
class Report:
    """All of it. `notices` stand at the top, `warnings` are what training warned of."""

    title: str
    made_at: str
    notices: tuple[str, ...]
    experiments: tuple[Experiment, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    provenance: Provenance
    schema: str = field(default=SCHEMA)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
