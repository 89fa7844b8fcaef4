"""Figures as data: test accuracy over training, k-NN accuracy by layer (SEAL, Figures 2 and 3), Hessian spectra, shots.

A report has a figure only where its numbers were measured. Lines are means over seeds, bands their 95 % t intervals.
"""

from collections.abc import Callable, Iterator

from orchestrator.report.figures.curvature import density, spectrum
from orchestrator.report.figures.layers import layers, layers_by_generation
from orchestrator.report.figures.shots import shots
from orchestrator.report.figures.training import accuracy
from orchestrator.report.lines import Drawn
from orchestrator.report.model import Figure
from orchestrator.report.source import Source

_MAKERS: tuple[Callable[[list[Drawn]], Figure | None], ...] = (
    accuracy,
    layers,
    layers_by_generation,
    spectrum,
    density,
    shots,
)


def figures(sources: list[Source]) -> Iterator[Figure]:
    """Yields every figure that has numbers, in the order in which a report shows them."""
    names = [arm for source in sources for arm in source.arms]
    arms = [
        Drawn(source, arm, arm if names.count(arm) == 1 else f"{source.label}/{arm}")
        for source in sources
        for arm in source.arms
    ]
    for make in _MAKERS:
        if (figure := make(arms)) is not None:
            yield figure
