"""Figures as data: test accuracy over training, k-NN accuracy by layer (SEAL, Figures 2 and 3), Hessian spectra, shots.

A figure is there only where its numbers are. Its lines are means over seeds, with Student's 95 % intervals as bands.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from orchestrator.layout import Cell
from orchestrator.report.lines import (
    MOST_LINES,
    MOST_POINTS,
    Drawn,
    at_the_end,
    bands,
    cut,
    ends,
    first,
    labelled,
    last,
    left_out,
    limits_of,
    line_of,
    ranges,
    spans_of,
    thinned,
)
from orchestrator.report.model import Figure, Panel, Series
from orchestrator.report.source import Source
from orchestrator.report.statistics import mean

MOST_PANELS = 12
MOST_GENERATIONS = 6
MOST_BINS = 48
DENSITY_RANGE = 1e-6
"""Densities below this share of the largest are left out: they are the tails of the Gaussians alone."""
_SHOTS = re.compile(r"(\d+)shot(-affines)?/acc")


def figures(sources: list[Source]) -> Iterator[Figure]:
    """All figures that there are numbers for, in order."""
    names = [arm for source in sources for arm in source.arms]
    arms = [
        Drawn(source, arm, arm if names.count(arm) == 1 else f"{source.label}/{arm}")
        for source in sources
        for arm in source.arms
    ]
    makers: tuple[Callable[[list[Drawn]], Figure | None], ...] = (
        accuracy,
        layers,
        layers_by_generation,
        spectrum,
        density,
        shots,
    )
    for make in makers:
        if (figure := make(arms)) is not None:
            yield figure


# --- training ---


def accuracy(arms: list[Drawn]) -> Figure | None:
    """Test accuracy by epoch, counted through all generations, with the forgetting phases shaded."""
    lines, forgetting, starts = list[Series](), set[int](), set[int]()
    with_epochs = (arm for arm in arms if arm.source.part(arm.arm, "train")["epochs"])
    for arm in with_epochs:
        if len(lines) == MOST_LINES:
            break
        by_epoch: dict[int, list[float]] = {}
        epochs = int(arm.source.part(arm.arm, "train")["epochs"])
        for _, rows in arm.source.epochs(arm.arm):
            for row in rows:
                at = row["generation_index"] * epochs + row["epoch"] + 1
                if row["phase"] == "forgetting":
                    forgetting.add(at)
                if row["epoch"] == 0:
                    starts.add(at - 1)
                if (measured := row["metrics"].get("test/accuracy")) is not None:
                    by_epoch.setdefault(at, []).append(100 * measured)
        if by_epoch:
            kept = thinned(sorted(by_epoch), epochs)
            lines.append(line_of(arm.label, kept, [by_epoch[at] for at in kept]))
    if not lines:
        return None
    spans = spans_of(forgetting)
    limits = limits_of(lines)
    lines_at = tuple(sorted(starts - {0}))
    panel = Panel("", "epoch", "test accuracy (%)", tuple(lines), limits=limits, shaded=spans, starts=lines_at)
    gist = "; ".join(f"{line.label} {last(line):.1f} % after epoch {line.x[-1]:.0f}" for line in lines)
    phases = f" Forgetting phases: epochs {ranges(spans)}." if spans else ""
    caption = "Test accuracy over all generations" + bands(lines)
    caption += "; forgetting phases are shaded" if spans else ""
    caption += "; thin lines are starts of generations." if len(starts) > 1 else "."
    return Figure("accuracy", caption + cut(lines, limits) + left_out(len(arms)), f"Line chart. {gist}.{phases}", (panel,))


# --- layers ---


def layers(arms: list[Drawn]) -> Figure | None:
    """k-NN accuracy by layer after each arm's last judged generation, beside generation 0 (SEAL, Figure 2)."""
    names = _layer_names(arms)
    lines = list(at_the_end(arms, "prediction-depth", lambda arm, g: _by_layer(arm, g, names)))
    if not lines:
        return None
    limits = limits_of(lines)
    panel = Panel("", "layer", "k-NN accuracy (%)", tuple(lines), tuple(names), limits)
    gist = "; ".join(f"{line.label} from {first(line):.1f} % to {last(line):.1f} %" for line in lines)
    caption = "Accuracy of k-nearest-neighbour votes by layer, after the last judged generation" + bands(lines) + "."
    alt = f"Line chart over the layers {', '.join(names)}, first to last layer: {gist}."
    return Figure("layers", caption + cut(lines, limits) + left_out(len(arms)), alt, (panel,))


def layers_by_generation(arms: list[Drawn]) -> Figure | None:
    """k-NN accuracy by layer as generations go by, a panel for each arm (SEAL, Figure 3)."""
    names, panels, gist = _layer_names(arms), list[Panel](), list[str]()
    for arm in arms:
        judged = arm.source.judged(arm.arm, "prediction-depth")
        step = max(1, -(-(len(judged) - 1) // (MOST_GENERATIONS - 1)))
        chosen = sorted({*judged[::step], *judged[-1:]})
        found = [(generation, _by_layer(arm, generation, names)) for generation in chosen]
        lines = [labelled(line, f"generation {generation}") for generation, line in found if line is not None]
        if len(lines) > 1 and len(panels) < MOST_PANELS:
            panels.append(Panel(arm.label, "layer", "k-NN accuracy (%)", tuple(lines), tuple(names), ordered=True))
            changes = [b - a for a, b in zip(lines[0].y, lines[-1].y, strict=True) if a is not None and b is not None]
            gist.append(f"{arm.label} changes by {min(changes):+.1f} to {max(changes):+.1f} points over the layers")
    if not panels:
        return None
    everything = [line for panel in panels for line in panel.series]
    limits = limits_of(everything)
    panels = [replace(panel, limits=limits) for panel in panels]
    caption = f"Accuracy of k-nearest-neighbour votes by layer as generations go by{bands(everything)}."
    caption += cut(everything, limits)
    alt = f"Line charts, a panel for each arm. From the first to the last generation shown {'; '.join(gist)}."
    return Figure("layers-by-generation", caption, alt, tuple(panels))


def _layer_names(arms: list[Drawn]) -> list[str]:
    found: dict[str, None] = {}
    for arm in arms:
        for _, metric in arm.source.scores.get("prediction-depth", {}):
            if metric.endswith("/knn_acc"):
                found[metric.removesuffix("/knn_acc")] = None
    return list(found)


def _by_layer(arm: Drawn, generation: int, names: list[str]) -> Series | None:
    found = [
        (index, values)
        for index, name in enumerate(names)
        if (values := arm.scores(generation, "prediction-depth", None, f"{name}/knn_acc"))
    ]
    if not found:
        return None
    return line_of(arm.label, [index for index, _ in found], [[100 * value for value in values] for _, values in found])


# --- curvature ---


def spectrum(arms: list[Drawn]) -> Figure | None:
    """Histogram of the pooled eigenvalues of largest magnitude after each arm's last judged generation."""
    pooled: dict[str, tuple[list[float], bool]] = {}
    for label, arm, generation, baseline in ends(arms, "hessian-spectrum"):
        values = [value for each in arm.pooled(generation, "eigenvalues") for value in each]
        if values:
            pooled[label] = values, baseline
    if not pooled:
        return None
    everything = np.concatenate([np.asarray(values) for values, _ in pooled.values()])
    bins = min(MOST_BINS, max(8, round(len(everything) ** 0.5)))
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 1e-9), bins + 1)
    lines = []
    for label, (values, baseline) in pooled.items():
        heights = np.histogram(values, edges)[0] / len(values) * 100
        centres = (edges[:-1] + edges[1:]) / 2
        shown = tuple(float(height) if height else None for height in heights)
        lines.append(Series(label, tuple(map(float, centres)), shown, baseline=baseline))
    panel = Panel("", "eigenvalue", "share of eigenvalues (%)", tuple(lines), log_y=True, step=True)
    gist = "; ".join(
        f"{label} {min(values):.4g} to {max(values):.4g}, {100 * sum(v < 0 for v in values) / len(values):.1f} % negative"
        for label, (values, _) in pooled.items()
    )
    caption = "Hessian eigenvalues of largest magnitude, pooled over minibatches and seeds, after the last judged generation."
    return Figure("spectrum", caption + left_out(len(arms)), f"Histogram. {gist}.", (panel,))


def density(arms: list[Drawn]) -> Figure | None:
    """Spectral density of the Hessian of the whole objective, one line per arm: that of its first seed."""
    lines = []
    for label, arm, generation, baseline in ends(arms, "hessian-spectrum"):
        grids, values = (arm.pooled(generation, f"density/{name}") for name in ("grid", "values"))
        if grids and values:
            kept = slice(None, None, max(1, len(grids[0]) // MOST_POINTS))
            least = DENSITY_RANGE * max(values[0])
            heights = tuple(height if height > least else None for height in values[0][kept])
            lines.append(Series(label, tuple(grids[0][kept]), heights, baseline=baseline))
    if not lines:
        return None
    panel = Panel("", "eigenvalue", "density", tuple(lines), log_y=True, step=True)
    gist = "; ".join(f"{line.label} from {line.x[0]:.4g} to {line.x[-1]:.4g}" for line in lines)
    caption = "Spectral density of the Hessian of the training objective after the last judged generation, first seed."
    return Figure("density", caption + left_out(len(arms)), f"Line chart. Support: {gist}.", (panel,))


# --- few-shot ---


def shots(arms: list[Drawn]) -> Figure | None:
    """Few-shot accuracy by the number of shots, a panel for each data set and mode."""
    asked: dict[tuple[str, str], dict[int, None]] = {}
    for arm in arms:
        for dataset, metric in arm.source.scores.get("few-shot", {}):
            if found := _SHOTS.fullmatch(metric):
                asked.setdefault((dataset, found[2] or ""), {})[int(found[1])] = None
    panels, gist, beyond = list[Panel](), list[str](), ""
    for (dataset, mode), numbers in list(asked.items())[:MOST_PANELS]:
        lines = list(at_the_end(arms, "few-shot", _by_shots(dataset, mode, sorted(numbers))))
        if lines:
            title = f"{dataset}, linear + affines" if mode else dataset
            ticks = tuple(str(each) for each in sorted(numbers))
            limits = limits_of(lines)
            panels.append(Panel(title, "shots", "accuracy (%)", tuple(lines), ticks, limits))
            beyond = beyond or cut(lines, limits)
            most = "; ".join(f"{line.label} {last(line):.1f} %" for line in lines)
            gist.append(f"{title} with {max(numbers)} shots: {most}")
    if not panels:
        return None
    caption = (
        "Few-shot accuracy by shots after the last judged generation, with 95 % intervals over seeds (one seed: episodes)."
    )
    return Figure("shots", caption + beyond + left_out(len(arms)), f"Line charts. {'. '.join(gist)}.", tuple(panels))


def _by_shots(dataset: str, mode: str, numbers: list[int]) -> Callable[[Drawn, int], Series | None]:
    def line(arm: Drawn, generation: int) -> Series | None:
        x, y, low, high = [], [], [], []
        for index, number in enumerate(numbers):
            sample = arm.source.sample(Cell(arm.arm, generation, "few-shot", dataset, f"{number}shot{mode}/acc"))
            if sample is None or not sample.values:
                continue
            over_seeds = mean(list(sample.values.values()))
            bounds = over_seeds.low, over_seeds.high
            if over_seeds.n == 1:
                row = sample.rows[next(iter(sample.values))]
                bounds = row["low"], row["high"]
            x.append(float(index))
            y.append(100 * over_seeds.value)
            low.append(None if bounds[0] is None else 100 * bounds[0])
            high.append(None if bounds[1] is None else 100 * bounds[1])
        return Series(arm.label, tuple(x), tuple(y), tuple(low), tuple(high)) if x else None

    return line
