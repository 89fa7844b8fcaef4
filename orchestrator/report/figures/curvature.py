"""Hessian spectra: a histogram of the largest eigenvalues, and the spectral density of the training objective."""

import numpy as np

from orchestrator.report.lines import MOST_POINTS, Drawn, ends, shown
from orchestrator.report.model import Figure, Panel, Series

MOST_BINS = 48
DENSITY_RANGE = 1e-6
"""Densities below this share of the largest are left out: they are only the tails of the Gaussian kernels."""


def spectrum(arms: list[Drawn]) -> Figure | None:
    """Histogram of the pooled eigenvalues of largest magnitude after each arm's last evaluated generation."""
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
    gist = "; ".join(
        f"{label} {min(values):.4g} to {max(values):.4g}, "
        f"{100 * sum(value < 0 for value in values) / len(values):.1f} % negative"
        for label, values, _ in pooled
    )
    caption = (
        "Hessian eigenvalues of largest magnitude, pooled over minibatches and seeds, "
        "after the last evaluated generation."
    )
    panel = _panel("share of eigenvalues (%)", lines)
    return Figure("spectrum", caption + beyond, f"Histogram. {gist}.", (panel,))


def density(arms: list[Drawn]) -> Figure | None:
    """Spectral density of the Hessian of the training objective; each arm's line is that of its first seed."""
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
    gist = "; ".join(f"{line.label} from {line.x[0]:.4g} to {line.x[-1]:.4g}" for line in lines)
    caption = (
        "Spectral density of the Hessian of the training objective after the last evaluated generation, first seed."
    )
    return Figure("density", caption + beyond, f"Line chart. Support: {gist}.", (_panel("density", lines),))


def _panel(y: str, lines: list[Series]) -> Panel:
    return Panel(
        title="",
        x="eigenvalue",
        y=y,
        series=tuple(lines),
        log_y=True,
        step=True,
    )
