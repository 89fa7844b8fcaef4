"""The report as data, which every format renders and which is the JSON format itself (docs/report.md names its fields).

Values are in the unit of their cell: shares in percent, other scores unchanged. Times are RFC 3339 in UTC.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = "relearn.report/1"
Unit = Literal["percent", "plain"]


@dataclass(frozen=True)
class SeedScore:
    """The score of one seed. Its 95 % interval is over the `n` test images, episodes or batches that it averages."""

    seed: int
    value: float
    low: float | None
    high: float | None
    n: int | None
    node: str
    made_by: str | None


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the mean over `n` seeds and its 95 % t interval. `value` is None while nothing was measured.

    `best` is set only where the 95 % interval of the paired difference to every competitor excludes zero and has some
    width.
    `difference` is `value` minus `published`, in the cell's unit. `score_n` is the number of `score_n_of` (such as
    images) that the score of each seed averages, or None where seeds differ in it. `episodes_half` is half the width of
    the 95 % interval over episodes of a few-shot score, averaged over the seeds.
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
    score_n: int | None = None
    score_n_of: str = ""
    episodes_half: float | None = None
    seeds: tuple[SeedScore, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table. `cells[i][j]` belongs to the labels `rows[i]` and `columns[j]`; `compare` names what competes."""

    name: str
    caption: str
    compare: Literal["rows", "columns"]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    seeds: int
    """The number of seeds that most cells have. Formats show the number of a cell that has another one."""
    reading: tuple[str, ...]
    """Sentences on how to read the cells."""
    footnotes: tuple[str, ...]
    """Facts that a reader must know before trusting the numbers."""
    source: str | None = None
    """The publication that the published values are from."""

    @property
    def published(self) -> bool:
        """Whether any cell has a published value."""
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
    """Whether this is the line that the others start from, which is drawn in grey."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes with the labels `x` and `y`. Where there are `ticks`, x counts them from 0."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    ticks: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    """The limits of the y axis; None leaves them to the values."""
    log_y: bool = False
    step: bool = False
    """Whether lines are drawn as steps without markers, as in a histogram."""
    ordered: bool = False
    """Whether the series have an order, as generations do; colours then go from light to dark."""
    shaded: tuple[tuple[float, float], ...] = ()
    """Ranges of x with a shaded background, such as forgetting phases."""
    starts: tuple[float, ...] = ()
    """Values of x with a thin vertical line, such as the starts of generations."""


@dataclass(frozen=True)
class Figure:
    """A figure of one or more panels. `alt` describes it in words and numbers for readers who cannot see it."""

    name: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Experiment:
    """An experiment as a whole. `plan` has for each kind of node the counts `requested`, `unique` and `cached`.

    Several requests for the same node count once in `unique`; `cached` nodes were done by earlier experiments.
    """

    id: str
    name: str
    label: str
    """The name that labels use: the experiment's name, or its id where two experiments share a name."""
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
    """The resolved settings of an arm under flat names such as `train.lr`."""

    experiment: str
    arm: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Generation:
    """A trained or imported network: its position in the experiment, and who made it.

    `made_by` names the experiment, arm, seed and generation whose run made the network.
    """

    experiment: str
    arm: str
    seed: int
    generation: int
    node: str
    state: str
    cached: bool
    made_by: str | None
    shared: bool
    """Whether the network was made for another row or experiment than this one."""


@dataclass(frozen=True)
class Provenance:
    """The origin of the numbers of a report.

    `machines` are the distinct fingerprints of the machines that evaluated; `data` maps data sets to their digests.
    """

    relearn: str
    python: str
    machines: tuple[dict[str, Any], ...]
    data: dict[str, str]
    arms: tuple[ArmSettings, ...]
    generations: tuple[Generation, ...]


@dataclass(frozen=True)
class Report:
    """A whole report. `notices` are shown at the top; `warnings` are those that training emitted."""

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
        """The report as the JSON format has it."""
        return asdict(self)
