"""Figures as data: test accuracy over training, k-NN accuracy by layer (SEAL, Figures 2 and 3), Hessian spectra, shots.

A figure is there only where its numbers are. Its lines are means over seeds, with Student's 95 % intervals as bands.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from orchestrator.report.lines import (
    MOST_LINES,
    MOST_POINTS,
    MOST_STARTS,
    Drawn,
    at_the_end,
    bands,
    common,
    cut,
    ends,
    first,
    labelled,
    last,
    limits_of,
    line_of,
    ranges,
    shown,
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
    lines, forgetting, starts = list[Series](), dict[str, tuple[set[int], int]](), list[tuple[set[int], int]]()
    partly = False
    for arm in arms:
        if not (epochs := int(arm.source.part(arm.arm, "train")["epochs"])):
            continue
        by_epoch: dict[int, list[float]] = {}
        own, forgets = set[int](), set[int]()
        for _, rows in arm.source.epochs(arm.arm):
            for row in rows:
                at = row.generation * epochs + row.epoch + 1
                if row.phase == "forgetting":
                    forgets.add(at)
                if row.epoch == 0 and at > 1:
                    own.add(at - 1)
                if (measured := row.metrics.get("test/accuracy")) is not None:
                    by_epoch.setdefault(at, []).append(100 * measured)
        if not by_epoch:
            continue
        begun = max(map(len, by_epoch.values()))
        everywhere = sorted(at for at, values in by_epoch.items() if len(values) == begun)
        end = everywhere[-1]
        if len(lines) < MOST_LINES:
            partly = partly or len(everywhere) < len(by_epoch)
            forgetting[arm.label] = {at for at in forgets if at <= end}, end
            starts.append(({at for at in own if at < end}, end - 1))
        kept = thinned(everywhere, epochs)
        lines.append(line_of(arm.label, kept, [by_epoch[at] for at in kept]))
    if not lines:
        return None
    lines, beyond = shown(lines)
    limits = limits_of(lines)
    spans = {label: spans_of(epochs) for label, (epochs, _) in forgetting.items() if epochs}
    shaded = spans_of(common(marks for marks in forgetting.values() if marks[0]) or ())
    lines_at = tuple(sorted(common(starts) or ()))
    lines_at = lines_at if len(lines_at) <= MOST_STARTS else ()
    panel = Panel("", "epoch", "test accuracy (%)", tuple(lines), limits=limits, shaded=shaded, starts=lines_at)
    gist = "; ".join(f"{line.label} {last(line):.1f} % after epoch {line.x[-1]:.0f}" for line in lines)
    phases = ""
    if spans:
        each = "; ".join(f"{label} {ranges(own)}" for label, own in spans.items())
        phases = f" Forgetting phases: epochs {ranges(shaded) if shaded else each}."
    caption = "Test accuracy over all generations" + bands(lines)
    caption += (
        "; forgetting phases are shaded" if shaded else "; forgetting phases differ and are not shaded" if spans else ""
    )
    caption += "; thin lines are starts of generations." if lines_at else "."
    caption += " Epochs that not all seeds of an arm have reached are left out." if partly else ""
    return Figure("accuracy", caption + cut(lines, limits) + beyond, f"Line chart. {gist}.{phases}", (panel,))


# --- layers ---


def layers(arms: list[Drawn]) -> Figure | None:
    """k-NN accuracy by layer after each arm's last judged generation, beside generation 0 (SEAL, Figure 2)."""
    names = _layer_names(arms)
    lines, beyond = at_the_end(arms, "prediction-depth", lambda arm, g: _by_layer(arm, g, names))
    if not lines:
        return None
    limits = limits_of(lines)
    panel = Panel("", "layer", "k-NN accuracy (%)", tuple(lines), tuple(names), limits)
    gist = "; ".join(f"{line.label} from {first(line):.1f} % to {last(line):.1f} %" for line in lines)
    caption = "Accuracy of k-nearest-neighbour votes by layer, after the last judged generation" + bands(lines) + "."
    alt = f"Line chart over the layers {', '.join(names)}, first to last layer: {gist}."
    return Figure("layers", caption + cut(lines, limits) + beyond, alt, (panel,))


def layers_by_generation(arms: list[Drawn]) -> Figure | None:
    """k-NN accuracy by layer as generations go by, a panel for each arm (SEAL, Figure 3)."""
    names, panels, gist = _layer_names(arms), list[Panel](), list[str]()
    for arm in arms:
        judged = arm.source.judged(arm.arm, "prediction-depth")
        step = max(1, -(-(len(judged) - 1) // (MOST_GENERATIONS - 1)))
        chosen = sorted({*judged[::step], *judged[-1:]})
        found = [(generation, _by_layer(arm, generation, names)) for generation in chosen]
        lines = [labelled(line, f"generation {generation}") for generation, line in found if line is not None]
        if len(lines) > 1:
            panels.append(Panel(arm.label, "layer", "k-NN accuracy (%)", tuple(lines), tuple(names), ordered=True))
            changes = [b - a for a, b in zip(lines[0].y, lines[-1].y, strict=True) if a is not None and b is not None]
            gist.append(f"{arm.label} changes by {min(changes):+.1f} to {max(changes):+.1f} points over the layers")
    if not panels:
        return None
    panels, gist, beyond = panels[:MOST_PANELS], gist[:MOST_PANELS], _more(len(panels), "arms")
    everything = [line for panel in panels for line in panel.series]
    limits = limits_of(everything)
    panels = [replace(panel, limits=limits) for panel in panels]
    caption = f"Accuracy of k-nearest-neighbour votes by layer as generations go by{bands(everything)}."
    caption += cut(everything, limits) + beyond
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
        (index, [100 * value for value in sample.values.values()])
        for index, name in enumerate(names)
        if (sample := arm.sample(generation, "prediction-depth", None, f"{name}/knn_acc"))
    ]
    return line_of(arm.label, [index for index, _ in found], [values for _, values in found]) if found else None


def _more(count: int, what: str) -> str:
    return f" The first {MOST_PANELS} of {count} {what} have a panel." if count > MOST_PANELS else ""


# --- curvature ---


def spectrum(arms: list[Drawn]) -> Figure | None:
    """Histogram of the pooled eigenvalues of largest magnitude after each arm's last judged generation."""
    found = [
        (label, values, baseline)
        for label, arm, generation, baseline in ends(arms, "hessian-spectrum")
        if (values := arm.eigenvalues(generation))
    ]
    if not found:
        return None
    pooled, beyond = shown(found, baselines=sum(baseline for *_, baseline in found))
    everything = np.concatenate([np.asarray(values) for _, values, _ in pooled])
    bins = min(MOST_BINS, max(8, round(len(everything) ** 0.5)))
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 1e-9), bins + 1)
    lines = []
    for label, values, baseline in pooled:
        heights = np.histogram(values, edges)[0] / len(values) * 100
        centres = (edges[:-1] + edges[1:]) / 2
        steps = tuple(float(height) if height else None for height in heights)
        lines.append(Series(label, tuple(map(float, centres)), steps, baseline=baseline))
    panel = Panel("", "eigenvalue", "share of eigenvalues (%)", tuple(lines), log_y=True, step=True)
    gist = "; ".join(
        f"{label} {min(values):.4g} to {max(values):.4g}, {100 * sum(v < 0 for v in values) / len(values):.1f} % negative"
        for label, values, _ in pooled
    )
    caption = (
        "Hessian eigenvalues of largest magnitude, pooled over minibatches and seeds, after the last judged generation."
    )
    return Figure("spectrum", caption + beyond, f"Histogram. {gist}.", (panel,))


def density(arms: list[Drawn]) -> Figure | None:
    """Spectral density of the Hessian of the whole objective, one line per arm: that of its first seed."""
    lines = []
    for label, arm, generation, baseline in ends(arms, "hessian-spectrum"):
        if points := arm.density(generation):
            least = DENSITY_RANGE * max(height for _, height in points)
            kept = points[:: max(1, len(points) // MOST_POINTS)]
            heights = tuple(height if height > least else None for _, height in kept)
            lines.append(Series(label, tuple(at for at, _ in kept), heights, baseline=baseline))
    if not lines:
        return None
    lines, beyond = shown(lines, baselines=sum(line.baseline for line in lines))
    panel = Panel("", "eigenvalue", "density", tuple(lines), log_y=True, step=True)
    gist = "; ".join(f"{line.label} from {line.x[0]:.4g} to {line.x[-1]:.4g}" for line in lines)
    caption = "Spectral density of the Hessian of the training objective after the last judged generation, first seed."
    return Figure("density", caption + beyond, f"Line chart. Support: {gist}.", (panel,))


# --- few-shot ---


def shots(arms: list[Drawn]) -> Figure | None:
    """Few-shot accuracy by the number of shots, a panel for each data set and mode."""
    asked: dict[tuple[str, str], dict[int, None]] = {}
    for arm in arms:
        for dataset, metric in arm.source.scores.get("few-shot", {}):
            if found := _SHOTS.fullmatch(metric):
                asked.setdefault((dataset, found[2] or ""), {})[int(found[1])] = None
    panels, gist, said = list[Panel](), list[str](), dict[str, None]()
    for (dataset, mode), numbers in asked.items():
        lines, beyond = at_the_end(arms, "few-shot", _by_shots(dataset, mode, sorted(numbers)), dataset)
        if lines:
            title = f"{dataset}, linear + affines" if mode else dataset
            ticks = tuple(str(each) for each in sorted(numbers))
            limits = limits_of(lines)
            panels.append(Panel(title, "shots", "accuracy (%)", tuple(lines), ticks, limits))
            said |= dict.fromkeys((cut(lines, limits), beyond) if len(panels) <= MOST_PANELS else ())
            most = "; ".join(f"{line.label} {last(line):.1f} %" for line in lines)
            gist.append(f"{title} with {max(numbers)} shots: {most}")
    if not panels:
        return None
    caption = "Few-shot accuracy by shots after the last judged generation, "
    caption += "with 95 % intervals over seeds (one seed: episodes)."
    caption += "".join(said) + _more(len(panels), "data sets and modes")
    alt = f"Line charts. {'. '.join(gist[:MOST_PANELS])}."
    return Figure("shots", caption, alt, tuple(panels[:MOST_PANELS]))


def _by_shots(dataset: str, mode: str, numbers: list[int]) -> Callable[[Drawn, int], Series | None]:
    def line(arm: Drawn, generation: int) -> Series | None:
        x, y, low, high = [], [], [], []
        for index, number in enumerate(numbers):
            sample = arm.sample(generation, "few-shot", dataset, f"{number}shot{mode}/acc")
            if sample is None:
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
