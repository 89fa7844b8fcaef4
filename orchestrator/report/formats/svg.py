"""Figures as SVG, drawn by matplotlib without a display and without its global state."""

import io
import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from orchestrator.report.model import Figure, Panel, Series

matplotlib.rcParams["svg.hashsalt"] = "relearn"  # so that equal figures have equal bytes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
"""The palette of Okabe and Ito, which colour-blind readers can distinguish, without its yellow."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLES = ("-", "--", "-.", ":")
GREY = "#5f6b76"
EMPTY = 1e-12
"""The height of an empty step, which lies below the end of a logarithmic axis."""
ALONE = 6.6, 3.6
"""Width and height in inches of the only panel of a figure."""
WIDTH, HEIGHT = 4.0, 2.9
"""Width and height in inches of each of several panels."""


def svg(figure: Figure) -> str:
    """The figure as an SVG document with a white background."""
    count = len(figure.panels)
    across = 1 if count == 1 else 2 if count in (2, 4) else min(count, 3)
    down = math.ceil(count / across)
    size = ALONE if count == 1 else (WIDTH * across, HEIGHT * down)
    canvas = Canvas(figsize=size, layout="constrained", facecolor="white")
    axes = canvas.subplots(down, across, squeeze=False).flatten()
    for axis, panel in zip(axes, figure.panels, strict=False):
        _draw(axis, panel, letters=60 if count == 1 else 26)
    for axis in axes[count:]:
        axis.set_axis_off()
    _legends(canvas, list(axes[:count]))
    file = io.StringIO()
    canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _draw(axis: Axes, panel: Panel, letters: int) -> None:
    for begin, end in panel.shaded:
        axis.axvspan(begin, end, color="#f0d9a8", alpha=0.55, linewidth=0, zorder=0)
    for at in panel.starts:
        axis.axvline(at, color="#c9ced4", linewidth=0.6, zorder=0.5)
    drawn = 0
    for position, line in enumerate(panel.series):
        beside = (position - (len(panel.series) - 1) / 2) * min(0.05, 0.4 / len(panel.series)) if panel.ticks else 0.0
        _line(axis, panel, line, drawn, beside)
        drawn += not line.baseline
    axis.set_xlabel(plain(panel.x))
    axis.set_ylabel(plain(panel.y))
    if panel.title:
        axis.set_title(plain(panel.title), fontsize=10)
    if panel.limits:
        axis.set_ylim(*panel.limits)
    if panel.log_y:
        axis.set_yscale("log")
        heights = [y for line in panel.series for y in line.y if y is not None] or [1.0]
        axis.set_ylim(0.6 * min(heights), 1.6 * max(heights))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    if panel.ticks:
        axis.set_xticks(range(len(panel.ticks)), [plain(tick) for tick in panel.ticks])
        axis.set_xlim(-0.35, len(panel.ticks) - 0.65)
        if sum(map(len, panel.ticks)) > letters:
            axis.tick_params(axis="x", rotation=35)
    axis.grid(axis="y", color="#e4e7ea", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _line(axis: Axes, panel: Panel, line: Series, index: int, beside: float) -> None:
    """Draws one line. `beside` shifts it in x, so that the intervals of several lines at one tick do not overlap."""
    colour = (
        GREY
        if line.baseline
        else _sequential(index, len(panel.series))
        if panel.ordered
        else COLOURS[index % len(COLOURS)]
    )
    x = [at + beside for at in line.x]
    y = _gaps(line.y, EMPTY if panel.step else math.nan)
    turn = index + index // len(COLOURS)  # where the colours repeat, markers and styles do not
    style = ":" if line.baseline else STYLES[turn % len(STYLES)]
    if panel.step:
        axis.step(x, y, where="mid", color=colour, linestyle=style, linewidth=1.4, label=plain(line.label))
        return
    few = len(x) <= 40
    axis.plot(
        x,
        y,
        color=colour,
        linestyle=style,
        linewidth=1.6,
        marker=MARKERS[turn % len(MARKERS)] if not line.baseline else "x",
        markersize=4.5,
        markevery=1 if few else max(1, len(x) // 12),
        label=plain(line.label),
    )
    if line.low is not None and line.high is not None:
        low, high = _gaps(line.low), _gaps(line.high)
        if panel.ticks:
            below, above = ([abs(a - b) for a, b in zip(y, bound, strict=True)] for bound in (low, high))
            axis.errorbar(x, y, [below, above], fmt="none", ecolor=colour, elinewidth=1, capsize=2.5)
        else:
            axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def _legends(canvas: Canvas, axes: list[Axes]) -> None:
    """Draws one legend below all panels if they have the same lines, else one legend in each panel."""
    labels = [axis.get_legend_handles_labels()[1] for axis in axes]
    if all(each == labels[0] for each in labels):
        handles = axes[0].get_legend_handles_labels()[0]
        lines = [handle for handle in handles if isinstance(handle, Line2D)]
        canvas.legend(lines, labels[0], loc="outside lower center", ncols=min(len(lines), 4), frameon=False, fontsize=9)
    else:
        for axis in axes:
            axis.legend(frameon=False, fontsize=8)


def _sequential(index: int, count: int) -> str:
    """The colour of line `index` of `count` on a scale from light to dark."""
    colour = matplotlib.colormaps["viridis"](0.85 * (1 - index / max(1, count - 1)))
    return str(matplotlib.colors.to_hex(colour))


def _gaps(values: Sequence[float | None], gap: float = math.nan) -> list[float]:
    return [gap if value is None else value for value in values]


def plain(text: str) -> str:
    """`text` with dollar signs escaped, which matplotlib would read as mathematics."""
    return text.replace("$", r"\$")
