"""k-NN accuracy by layer: after each arm's last generation (SEAL, Figure 2), and over generations (Figure 3)."""

from dataclasses import replace

from orchestrator.report.lines import (
    MOST_PANELS,
    Drawn,
    at_the_end,
    bands,
    cut,
    first,
    labelled,
    last,
    limits_of,
    line_of,
    panels_left_out,
)
from orchestrator.report.model import Figure, Panel, Series

MOST_GENERATIONS = 6
"""A panel draws at most this many generations of an arm, evenly spaced, and always the last."""


def layers(arms: list[Drawn]) -> Figure | None:
    """k-NN accuracy by layer after each arm's last evaluated generation, beside generation 0 (SEAL, Figure 2)."""
    names = _layer_names(arms)
    lines, beyond = at_the_end(arms, "prediction-depth", lambda arm, g: _by_layer(arm, g, names))
    if not lines:
        return None
    limits = limits_of(lines)
    panel = _panel("", lines, names, limits=limits)
    gist = "; ".join(f"{line.label} from {first(line):.1f} % to {last(line):.1f} %" for line in lines)
    caption = "Accuracy of k-nearest-neighbour votes by layer, after the last evaluated generation" + bands(lines) + "."
    alt = f"Line chart over the layers {', '.join(names)}, first to last layer: {gist}."
    return Figure("layers", caption + cut(lines, limits) + beyond, alt, (panel,))


def layers_by_generation(arms: list[Drawn]) -> Figure | None:
    """k-NN accuracy by layer, one line per generation, in one panel per arm (SEAL, Figure 3)."""
    names, panels, gist = _layer_names(arms), list[Panel](), list[str]()
    for arm in arms:
        evaluated = arm.source.evaluated_generations(arm.arm, "prediction-depth")
        step = max(1, -(-(len(evaluated) - 1) // (MOST_GENERATIONS - 1)))
        chosen = sorted({*evaluated[::step], *evaluated[-1:]})
        found = [(generation, _by_layer(arm, generation, names)) for generation in chosen]
        lines = [labelled(line, f"generation {generation}") for generation, line in found if line is not None]
        if len(lines) > 1:
            panels.append(_panel(arm.label, lines, names, ordered=True))
            changes = [b - a for a, b in zip(lines[0].y, lines[-1].y, strict=True) if a is not None and b is not None]
            gist.append(f"{arm.label} changes by {min(changes):+.1f} to {max(changes):+.1f} points over the layers")
    if not panels:
        return None
    panels, gist, beyond = panels[:MOST_PANELS], gist[:MOST_PANELS], panels_left_out(len(panels), "arms")
    everything = [line for panel in panels for line in panel.series]
    limits = limits_of(everything)
    panels = [replace(panel, limits=limits) for panel in panels]
    caption = f"Accuracy of k-nearest-neighbour votes by layer and generation{bands(everything)}."
    caption += cut(everything, limits) + beyond
    alt = f"Line charts, a panel for each arm. From the first to the last generation shown {'; '.join(gist)}."
    return Figure("layers-by-generation", caption, alt, tuple(panels))


def _panel(
    title: str,
    lines: list[Series],
    names: list[str],
    limits: tuple[float, float] | None = None,
    ordered: bool = False,
) -> Panel:
    return Panel(
        title=title,
        x="layer",
        y="k-NN accuracy (%)",
        series=tuple(lines),
        ticks=tuple(names),
        limits=limits,
        ordered=ordered,
    )


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
